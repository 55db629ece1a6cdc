"""Fusions, a file each: tokens of several inputs become one representation."""
