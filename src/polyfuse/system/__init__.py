"""Devices, signals, messages, the cache folder and lazy imports."""
