"""What a trained model is: network, ensemble, token cache, inference, saved folder, predictions as a table."""
