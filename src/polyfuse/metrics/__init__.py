"""Metrics by their formulas, each with weights and intervals where they are defined."""
