"""Models as an HTTP service: predictions, embeddings, texts and explanations, with a page for people."""
