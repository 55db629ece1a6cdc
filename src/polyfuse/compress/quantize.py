"""Weights in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polyfuse.compress.parts import copied, parts_of
from polyfuse.compress.study import Study
from polyfuse.layers.compact import can_hold, hold
from polyfuse.model.bundle import Bundle

FORMS = {"int8": "int8", "bf16": "bf16"}


class Quantize:
    """Holds weights in fewer bits: a quarter of the size as ``int8``, half as ``bf16``; answers change by a little.

    ``int8`` and ``bf16`` give a saved model whose weights take less room on disk and in memory and are made full
    numbers when they are used: for size, not for speed.

    Args:
        form: ``int8`` with a scale per output row, or ``bf16``.
        parts: inputs, modalities, ``fusion`` or outputs whose weights are held so; all by default.
    """

    paper = "Dettmers et al., LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale, NeurIPS 2022"
    strengths: Sequence[Mapping[str, Any]] = ({"form": "bf16"}, {"form": "int8"})

    def __init__(self, *, form: str = "int8", parts: str | Sequence[str] = ()):
        if form not in FORMS:
            raise ValueError(f"quantize: form: expected one of {', '.join(FORMS)}, found {form!r}")
        self.form = form
        self.parts = [name.strip() for name in parts.split(",")] if isinstance(parts, str) else list(parts)

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle, str]:  # noqa: ARG002 - as every method
        """The model with smaller weights, and what was done in words."""
        made = copied(bundle)
        found = parts_of(made)
        known = list(dict.fromkeys(name for part in found for name in part.names))
        for name in self.parts:
            if name not in known:
                raise ValueError(f"quantize: there is no part {name!r}; known: {', '.join(known)}")
        own = [part.path for part in found if not self.parts or set(self.parts) & set(part.names)]
        paths = [
            path
            for path, module in made.network.named_modules()
            if can_hold(module) and any(f"{path}.".startswith(f"{part}.") for part in own)
        ]
        if not paths:
            raise ValueError("quantize: these parts have no weights that can be held in fewer bits")
        hold(made.network, paths, self.form)
        record = {"kind": "compact", "form": self.form, "modules": paths}
        return replace(made, changes=[*made.changes, record]), f"weights of {len(paths)} layers held as {self.form}"
