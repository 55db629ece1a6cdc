"""Sounds through a Hugging Face checkpoint, prepared on the device as it was trained to hear them."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyfuse.contracts import spec_of
from polyfuse.data.cells.audio import LONGEST
from polyfuse.encoders.audio.backbones import Spectrogram, SpeechT5, Waveform, Whisper
from polyfuse.encoders.checkpoint import CheckpointEncoder, keep_layers, load_model, silence_transformers, tower
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.records import Spec, Tokens

FAMILIES = {
    "Wav2Vec2FeatureExtractor": Waveform,
    "SpeechT5FeatureExtractor": SpeechT5,
    "WhisperFeatureExtractor": Whisper,
    "ASTFeatureExtractor": Spectrogram,
}


class Pretrained(CheckpointEncoder):
    """Any Hugging Face audio checkpoint: wav2vec 2.0, HuBERT, WavLM, the encoders of Whisper and SpeechT5, AST.

    Args:
        rate: samples per second of what comes in.
        path: a local folder, a name on the Hugging Face Hub, or ``starter:NAME``.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        layers: how many of its first blocks to keep; all where None. The middle ones often hear best.
        seconds: what is kept of longer sounds; ``"auto"`` follows the training sounds.
        whole: of Whisper, hear silence behind every sound up to 30 seconds, as it was trained to and as its decoder
            expects, instead of what was recorded alone, which is many times faster.

    Raises:
        FileNotFoundError: no such checkpoint, here or within reach.
        ValueError: it hears in a way not known here, fewer seconds at a time, or has fewer layers.

    See also:
        ``spectrogram_cnn`` for sounds that are no speech, where AST is too slow.
    """

    paper = "Wolf et al., Transformers: state-of-the-art natural language processing, EMNLP 2020"

    @spec_of("rate")
    @staticmethod
    def wants(path: str, weights: str, seconds: float | str) -> Spec:
        """Samples at the checkpoint's rate."""
        folder = find(path, weights=weights, modality="audio")
        extractor = _load_extractor(folder)
        keywords = {"rate": extractor["sampling_rate"], "seconds": _clip_seconds(extractor, seconds)}
        return Spec("audio.wave", keywords, files_to_save(folder, "preprocessor_config.json", "processor_config.json"))

    def __init__(
        self,
        *,
        rate: int,
        path: str,
        weights: str = "checkpoint",
        layers: int | None = None,
        seconds: float | str = "auto",
        whole: bool = False,
    ):
        super().__init__()
        folder = find(path, weights=weights, modality="audio")
        extractor = _load_extractor(folder)
        model, missing = load_model(folder, weights)
        model = keep_layers(tower(model), layers)
        family = FAMILIES[extractor["feature_extractor_type"]]
        if whole and family is not Whisper:
            raise ValueError(f"whole: {folder.name} hears what was recorded, whatever its length; leave whole out")
        self.family = Whisper(model, extractor, whole=True) if whole else family(model, extractor)
        self.settle({"wave": torch.zeros(1, rate // 4), "lengths": torch.tensor([rate // 4])}, missing)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> tokens along time (U, T, D)."""
        tokens = self.family(fields["wave"], fields["lengths"])
        return replace(tokens, mask_BT=tokens.mask_BT & present_B[:, None])


def _load_extractor(folder: Path) -> dict[str, Any]:
    """What the checkpoint does to a sound, defaults filled in."""
    from transformers import AutoFeatureExtractor

    try:
        with silence_transformers():
            extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True).to_dict()
    except OSError:
        raise FileNotFoundError(f"{folder}: no preprocessor_config.json, so its sounds cannot be prepared") from None
    if extractor["feature_extractor_type"] not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"{folder.name} prepares sounds with {extractor['feature_extractor_type']}; known: {known}")
    return extractor


def _clip_seconds(extractor: dict[str, Any], wanted: float | str) -> float | str:
    """The wanted length, within what the checkpoint hears at a time."""
    limit = _max_seconds(extractor)
    if wanted == "auto":
        return "auto" if limit >= LONGEST else limit
    if float(wanted) > limit:
        raise ValueError(f"seconds={wanted}: the checkpoint hears {limit:g} seconds at a time; expected no more")
    return wanted


def _max_seconds(extractor: dict[str, Any]) -> float:
    """Seconds that the checkpoint hears at a time."""
    if "chunk_length" in extractor:
        return extractor["chunk_length"]
    return extractor["max_length"] / 100 if "max_length" in extractor else float("inf")
