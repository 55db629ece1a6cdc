"""Layers that several parts are built of."""
