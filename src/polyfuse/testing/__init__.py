"""What a part must hold, to be run over a part of your own: the same checks that the package's own parts pass.

Example:
    >>> from polyfuse.testing import check_encoder
    >>> def test_my_encoder():
    ...     check_encoder(MyEncoder)
"""

from polyfuse.testing.compressors import check_compressor, check_lesson
from polyfuse.testing.encoders import Sample, check_encoder
from polyfuse.testing.fusions import check_fusion
from polyfuse.testing.heads import check_head
from polyfuse.testing.objectives import check_objective

__all__ = [
    "Sample",
    "check_compressor",
    "check_encoder",
    "check_fusion",
    "check_head",
    "check_lesson",
    "check_objective",
]
