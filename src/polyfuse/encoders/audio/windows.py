"""Long recordings window by window: any encoder of sounds reads each, and the tokens lie on one line of time."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.contracts import Rebuilds, offers, spec_of
from polyfuse.records import Spec, Tokens

MOST = 600.0  # seconds of a recording that are read by default


class Windows(nn.Module):
    """Sounds of any length, read by another encoder in overlapping windows; for what happens when in long recordings.

    Where windows overlap, each moment is told by the one of which it lies further from the edge.

    Args:
        rate: samples per second of what comes in.
        encoder: of each window: a name, or ``{"name": ..., keywords}``; one whose tokens say when they are.
        window: seconds of each.
        overlap: seconds that neighbouring windows share.
        seconds: of a recording that are read, from its beginning.
        files: folder of a saved model, from which a checkpoint is built again.

    Raises:
        ValueError: no such encoder, one that reads something else than samples, or windows that do not advance.

    See also:
        ``spectrogram_cnn`` alone for short recordings.
    """

    paper = ""

    @spec_of("rate", "files")
    @staticmethod
    def wants(encoder: str | Mapping[str, Any], window: float, overlap: float, seconds: float) -> Spec:
        """Samples at one rate, of recordings of any length."""
        if not 0 <= overlap < window:
            raise ValueError(f"overlap={overlap!r}: expected less than the window of {window!r} s, and 0 at least")
        name, keywords = _named(encoder)
        spec = registry.encoder("audio", name).wants(**keywords)  # type: ignore[attr-defined]
        if spec.transform != "audio.wave":
            raise ValueError(f"encoder: {name} reads {spec.transform}, expected one that reads audio.wave")
        return Spec("audio.wave", {**spec.keywords, "seconds": "auto", "longest": seconds}, spec.files)

    def __init__(
        self,
        *,
        rate: int,
        encoder: str | Mapping[str, Any] = "spectrogram_cnn",
        window: float = 10.0,
        overlap: float = 2.0,
        seconds: float = MOST,
        files: Path | None = None,
    ):
        super().__init__()
        name, keywords = _named(encoder)
        made = registry.encoder("audio", name)
        if files is not None and offers(made, Rebuilds):
            keywords |= made.restored(files)
        self.encoder = made(rate=rate, **keywords)
        self.width: int = self.encoder.width  # type: ignore[assignment]
        self.rate, self.size = rate, round(window * rate)
        self.hop, self.edge = round((window - overlap) * rate), overlap / 2

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from the files of its ``Spec``, where it has a checkpoint."""
        return {"files": folder} if folder.is_dir() and any(folder.iterdir()) else {}

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> the tokens of all windows, one behind the other (U, K * N, D).

        Those of an overlap that another window tells are masked.
        """
        wave_US, lengths_U = fields["wave"], fields["lengths"]
        samples = wave_US.shape[1]
        if samples <= self.size:
            return self.encoder(fields, present_B)
        count = 1 + (samples - self.size + self.hop - 1) // self.hop
        wave_US = F.pad(wave_US, (0, self.size + self.hop * (count - 1) - samples))
        wave_KS = wave_US.unfold(1, self.size, self.hop).flatten(0, 1)
        start_K = torch.arange(count, device=wave_US.device) * self.hop
        lengths_UK = (lengths_U[:, None] - start_K).clamp(0, self.size)
        last_UK = lengths_U[:, None] <= start_K + self.size
        # a window that holds nothing beyond the one before it is none
        real_UK = present_B[:, None] & ((start_K == 0) | (lengths_U[:, None] > start_K + self.size - self.hop))
        seen = self.encoder({"wave": wave_KS, "lengths": lengths_UK.flatten()}, real_UK.flatten())
        if seen.span_BT2 is None:
            raise ValueError("encoder: its tokens do not say when they are; expected one such as spectrogram_cnn")
        x_UKND, mask_UKN, span_UKN2 = (
            side.unflatten(0, (-1, count))[:, :, seen.prefix :] for side in (seen.x_BTD, seen.mask_BT, seen.span_BT2)
        )
        middle_UKN = span_UKN2.mean(-1)
        told_UKN = (middle_UKN >= self.edge) | (start_K == 0)[:, None]
        told_UKN = told_UKN & ((middle_UKN < self.size / self.rate - self.edge) | last_UK[..., None])
        span_UKN2 = span_UKN2 + (start_K / self.rate)[:, None, None]
        mask_UKN = mask_UKN & told_UKN
        return Tokens(x_UKND.flatten(1, 2), mask_UKN.flatten(1, 2), (), 0, span_UKN2.flatten(1, 2))


def _named(encoder: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(encoder, str):
        return encoder, {}
    if not isinstance(encoder.get("name"), str):
        raise ValueError(f"encoder: expected a name or {{'name': ..., keywords}}, found {dict(encoder)!r}")
    return encoder["name"], {key: value for key, value in encoder.items() if key != "name"}
