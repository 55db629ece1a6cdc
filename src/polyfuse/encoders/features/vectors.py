"""Ready-made feature vectors, often few and noisy: heavy dropout of features, then a linear layer or a small MLP.

Dropout as the regulariser of noisy features: Srivastava et al., Dropout, JMLR 2014.
"""

from __future__ import annotations

from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.records import Spec, Tokens


class Vectors(nn.Module):
    """A linear layer, or a small MLP, on a ready-made feature vector; strong dropout against noisy features.

    Args:
        size: length of the vectors.
        width: of the token.
        depth: hidden layers; 0 is linear.
        dropout: of features and hidden values, in training.

    Shapes: ``x`` (U, size) -> one token (U, 1, width).

    See also:
        ``sequence`` where a cell holds several vectors.
    """

    paper = "Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 2014"

    @spec_of("size")
    @staticmethod
    def wants() -> Spec:
        """Standardised features."""
        return Spec("vector")

    def __init__(self, *, size: int, width: int = 64, depth: int = 1, dropout: float = 0.5):
        super().__init__()
        self.width = width
        layers: list[nn.Module] = [nn.Dropout(dropout), nn.Linear(size, width)]
        for _ in range(depth):
            layers += [nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``x`` (U, size) -> one token (U, 1, D)."""
        return Tokens(self.layers(fields["x"])[:, None], present_B[:, None])

    def features(self, fields: dict[str, Tensor]) -> Tensor:
        """What is known before any training: the standardised vector (U, size)."""
        return fields["x"]
