"""The same table under many fusions and seeds: which is best, by how much, at what cost, and whether that is chance."""
