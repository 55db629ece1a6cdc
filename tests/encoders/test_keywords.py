"""An encoder's keywords stand once: ``wants`` takes those of ``__init__`` with their defaults, and hides the facts."""

from __future__ import annotations

import inspect

import pytest
from torch import nn

from polyfuse.contracts import spec_of
from polyfuse.records import Spec


class Mine(nn.Module):
    @spec_of("image_size")
    @staticmethod
    def wants(size: int, fit: str) -> Spec:
        """Pixels."""
        return Spec("image.pixels", {"size": size, "fit": fit})

    def __init__(self, *, image_size: tuple[int, int], fit: str, size: int = 64, depth: int = 2):
        super().__init__()


class Deeper(Mine):
    def __init__(self, *, image_size: tuple[int, int], fit: str = "crop", size: int = 32):
        super().__init__(image_size=image_size, fit=fit, size=size)


def test_wants_reads_keywords_and_defaults_from_the_constructor():
    assert Mine.wants(fit="pad", depth=3) == Spec("image.pixels", {"size": 64, "fit": "pad"})
    assert list(inspect.signature(Mine.wants).parameters) == ["fit", "size", "depth"]
    assert all(p.kind is p.KEYWORD_ONLY for p in inspect.signature(Mine.wants).parameters.values())
    assert Mine.wants.__doc__ == "Pixels."
    assert Mine(image_size=(8, 8), fit="pad").wants(fit="pad", size=8).keywords["size"] == 8
    assert Deeper.wants() == Spec("image.pixels", {"size": 32, "fit": "crop"})


@pytest.mark.parametrize("keywords", [{}, {"fit": "pad", "image_size": (8, 8)}, {"fit": "pad", "dept": 1}])
def test_unknown_and_missing_keywords_are_refused(keywords):
    with pytest.raises(TypeError):
        Mine.wants(**keywords)
