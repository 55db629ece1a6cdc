"""A vocoder of Hugging Face in place of Griffin and Lim: log-mel frames -> samples.

Kong et al., HiFi-GAN, NeurIPS 2020, as SpeechT5 has it; its frames are those of ``data.cells.spectrogram``.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.encoders.checkpoint import silence_transformers
from polyfuse.encoders.hub import files_to_save, find

KIND = "speecht5_hifigan"
SILENCE = 1e-10  # energy of a filter below which SpeechT5 hears nothing


class Vocoder(nn.Module):
    """A SpeechT5HifiGan that is never trained.

    Args:
        path: a local folder, or a name on the Hugging Face Hub such as ``microsoft/speecht5_hifigan``.
        weights: ``checkpoint``, or ``random`` for its architecture alone.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is no such vocoder.
    """

    def __init__(self, path: str, weights: str = "checkpoint"):
        super().__init__()
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

        folder = _find_vocoder(path, weights)[0]
        with silence_transformers():
            if weights == "random":
                self.model: Any = SpeechT5HifiGan(SpeechT5HifiGanConfig.from_pretrained(folder, local_files_only=True))
            else:
                self.model = SpeechT5HifiGan.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Vocoder:  # noqa: ARG002
        """It always stays as it is."""
        return super().train(False)

    def forward(self, log_NF: Tensor) -> Tensor:
        """Log-mel frames of one sound (N, F), base 10 -> samples (S,), S = hop N."""
        return self.model(log_NF)


def vocoder_spec(path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of ``target.audio`` that a vocoder needs, by keyword, and its files to save.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is no such vocoder.
    """
    folder, config = _find_vocoder(path, "random")
    frames = {"rate": config["sampling_rate"], "bins": config["model_in_dim"], "hop": prod(config["upsample_rates"])}
    return {**frames, "floor": SILENCE}, files_to_save(folder)


def _find_vocoder(path: str, weights: str) -> tuple[Path, dict[str, Any]]:
    folder = find(path, weights=weights)
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    if (kind := config.get("model_type")) != KIND:
        raise ValueError(f"vocoder {path} is a {kind} model; expected a {KIND}, such as microsoft/speecht5_hifigan")
    usual = {"model_in_dim": 80, "sampling_rate": 16000, "upsample_rates": [4, 4, 4, 4]}
    return folder, {**usual, **config}
