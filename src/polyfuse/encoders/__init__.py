"""Encoders, a file each: cells of one input become tokens."""
