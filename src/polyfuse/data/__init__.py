"""Tables and their cells: reading, telling modalities apart, splitting, and prepared rows in batches."""
