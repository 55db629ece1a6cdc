"""Search: an index of row embeddings on disk, and queries by text, picture, sound or row."""
