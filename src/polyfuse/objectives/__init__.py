"""Objectives, a file each: losses beside those of the outputs."""
