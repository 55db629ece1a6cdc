"""Exported folders run without torch, and what a service asks of any model."""
