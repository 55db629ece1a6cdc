"""From a resolved recipe and a table to a trained model."""
