"""Weights in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from polyfuse.compress.exported import Exported, exported
from polyfuse.compress.parts import copied, parts_of
from polyfuse.compress.study import Study
from polyfuse.layers.compact import can_hold, hold
from polyfuse.model.bundle import Bundle

HELD = ("int8", "bf16")
GRAPHS = ("dynamic", "static")


class Quantize:
    """Weights in fewer bits: a quarter of the size in 8, half in 16; answers change by a little.

    ``int8`` and ``bf16`` give a saved model whose weights take less room on disk and in memory and are made full
    numbers when they are used: for size, not for speed. ``dynamic`` and ``static`` give an exported folder, which
    answers without torch (``polyfuse.runtime``) and faster, its matrices multiplied in 8 bits.

    Args:
        form: ``int8`` with a scale per output row, ``bf16``; or of the exported model ``dynamic``, whose activations
            are rounded as they come, or ``static``, by the ranges that training rows showed.
        parts: of ``int8`` and ``bf16``: inputs, modalities, ``fusion`` or outputs whose weights are held so; all by
            default.
        rows: of ``static``: training rows that show the ranges.
    """

    paper = "Jacob et al., Quantization and Training of Neural Networks for Integer-Arithmetic-Only Inference, 2018"
    strengths: Sequence[Mapping[str, Any]] = ({"form": "bf16"}, {"form": "int8"})

    def __init__(self, *, form: str = "int8", parts: str | Sequence[str] = (), rows: int = 64):
        if form not in HELD + GRAPHS:
            raise ValueError(f"quantize: form: expected one of {', '.join(HELD + GRAPHS)}, found {form!r}")
        if rows < 1:
            raise ValueError(f"quantize: rows: expected 1 or more, found {rows}")
        self.form, self.rows = form, rows
        self.parts = [name.strip() for name in parts.split(",")] if isinstance(parts, str) else list(parts)
        if self.parts and form in GRAPHS:
            raise ValueError(f"quantize: form {form} is of whole graphs; leave the parts out, or take form int8")

    def compress(self, bundle: Bundle, study: Study) -> tuple[Bundle | Exported, str]:
        """The model with smaller weights, or its exported folder, and what was done in words."""
        if self.form in HELD:
            return self._held(bundle)
        rows = None
        if self.form == "static":
            rows = np.random.default_rng(0).permutation(study.splits.train)[: self.rows]
        how = "rounded as they come" if rows is None else f"by the ranges of {len(rows)} training rows"
        return exported(bundle, study.read(bundle), rows), f"ONNX graphs in 8 bits, activations {how}"

    def _held(self, bundle: Bundle) -> tuple[Bundle, str]:
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
