"""Corruptions of cells by severity, to test the robustness of a model. NumPy and Pillow only, but for ``apply``.

Severity 0 gives the cell itself, 1 the end of a scale that each corruption states. Noise depends on the seed, the
corruption, the input and the row alone, and what is drawn does not depend on the severity: along a curve the same noise
grows. Text and columns are changed as the table has them and encoded again, so that a tokenizer or a logarithm sees the
change; pictures, sounds and features are changed as the encoder gets them (pixels and samples of one size and rate,
standardised features), which spares decoding them for every severity.
"""

from polyfuse.data.corrupt.table import CORRUPTIONS, Corruption, corruptions_for, default_corruptions

__all__ = ["CORRUPTIONS", "Corruption", "corruptions_for", "default_corruptions"]
