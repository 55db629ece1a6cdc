"""Transforms: cells of one kind become arrays, in NumPy alone, so that training and serving run the same code."""
