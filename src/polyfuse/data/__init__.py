"""Tables and their cells: reading files, inferring modalities, splitting rows, preparing cells and batching them."""
