"""Transforms from cells to arrays, in NumPy alone, so that training and serving run the same code."""
