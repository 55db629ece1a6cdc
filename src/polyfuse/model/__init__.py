"""Trained models: network, ensemble, token cache, inference, saving and loading, predictions as a table."""
