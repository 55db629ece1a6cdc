"""An encoder's keywords stand once, in its ``__init__``: what it asks of its columns reads them from there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from polyfuse.records import Spec


class spec_of:
    """Around ``wants``: it names the keywords that it needs, and takes all that ``__init__`` takes, with its defaults.

    Args:
        facts: parameters of ``__init__`` that the fitted transform gives; all others are keywords of the encoder.

    Example:
        >>> class Mine(nn.Module):
        ...     @spec_of("image_size")
        ...     @staticmethod
        ...     def wants(size: int) -> Spec:
        ...         return Spec("image.pixels", {"size": size})
        ...
        ...     def __init__(self, *, image_size: tuple[int, int], size: int = 64, depth: int = 2): ...
        >>> Mine.wants(depth=3)
        Spec(transform='image.pixels', keywords={'size': 64}, files={})
    """

    def __init__(self, *facts: str):
        self.facts = facts

    def __call__(self, wants: Callable[..., Spec]) -> Any:
        self.wants: Callable[..., Spec] = getattr(wants, "__func__", wants)  # within a staticmethod
        self.needs = list(inspect.signature(self.wants).parameters)
        return self

    def __get__(self, encoder: object, kind: type) -> Callable[..., Spec]:
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
        own = [p for p in parameters if p.name not in self.facts]

        def wants(**keywords: Any) -> Spec:
            given = wants.__signature__.bind(**keywords)  # type: ignore[attr-defined]
            given.apply_defaults()
            return self.wants(**{name: given.arguments[name] for name in self.needs})

        wants.__doc__ = self.wants.__doc__
        wants.__signature__ = inspect.Signature(own, return_annotation=Spec)  # type: ignore[attr-defined]
        return wants
