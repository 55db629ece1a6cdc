"""Fused tokens -> a sound: words spoken, or whatever the inputs call for, as log-mel frames made into samples."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.data.cells.spectrogram import Mel
from polyfuse.heads.flow import FORGOTTEN, ConditionReader, Conditions, Denoise, Sampling, draw_noise, flow_loss, sample
from polyfuse.heads.speech.frames import Frames
from polyfuse.heads.speech.vocoder import Vocoder, vocoder_spec
from polyfuse.layers.positions import length_mask
from polyfuse.records import Batch, Fused, Prediction, Spec

LENGTHS = 0.1  # weight of the squared error of the logarithm of lengths beside the loss of frames
FARTHEST = 4.0  # deviations from the mean that a frame lies at most


@dataclass(frozen=True)
class Speaking(Sampling):
    """How sounds are made.

    Args:
        steps, guidance, seed, temperature: see ``heads.flow.Sampling``.
        speed: above 1 sounds are shorter than training has them.
        rounds: of Griffin-Lim.

    Raises:
        ValueError: an option out of bounds.
    """

    speed: float = 1.0
    rounds: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self._bounded("speed", 0.1, 10)
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or not 0 <= self.rounds <= 1000:
            raise ValueError(f"rounds: expected a whole number from 0 to 1000, found {self.rounds!r}")


class Speech(nn.Module):
    """A sound per row: its length is guessed, its log-mel frames are made of noise, and its samples by Griffin-Lim.

    Args:
        name: the output's.
        width: D.
        mel, mean, deviation, longest: how frames are made, the mean and deviation of each filter, and frames of a sound
            at most; facts of ``target.audio``.
        rate, seconds: see ``data.cells.target_audio``; a vocoder says its own rate.
        channels: of the layers that make frames, a multiple of 4.
        depth: layers that make frames.
        vocoder: a SpeechT5HifiGan, by folder or by name on the Hugging Face Hub, that makes samples of frames.
        decode: how sounds are made: ``steps``, ``guidance``, ``seed``, ``temperature``, ``speed``, ``rounds``.
        dropout: of these layers, in training.
        files: folder with what a saved model kept of its vocoder; its weights come later.

    See also: ``text`` for words, ``image`` for pictures.
    """

    paper = "Le et al., Voicebox, NeurIPS 2023; Griffin and Lim, 1984"
    task = "speech"

    @spec_of("name", "width", "mel", "mean", "deviation", "longest", "files")
    @staticmethod
    def wants(
        rate: int | str,
        seconds: float | str,
        channels: int,
        depth: int,
        vocoder: str | None,
        decode: Mapping[str, Any] | None,
    ) -> Spec:
        """Sounds as frames.

        Raises:
            ValueError: no such option of decode, or out of bounds; no such vocoder, or one of another rate.
        """
        if channels < 4 or channels % 4 or depth < 1:
            raise ValueError(f"channels={channels}, depth={depth}: expected a multiple of 4, and 1 or more")
        Speaking().changed(decode or {})
        if vocoder is None:
            return Spec("target.audio", {"rate": rate, "seconds": seconds})
        frames, kept = vocoder_spec(vocoder)
        if rate not in ("auto", frames["rate"]):
            raise ValueError(f"rate: the vocoder {vocoder} makes {frames['rate']:,} samples per second, not {rate}")
        return Spec("target.audio", {"seconds": seconds, **frames}, kept)

    def __init__(
        self,
        *,
        name: str,
        width: int,
        mel: Mapping[str, Any],
        mean: list[float],
        deviation: list[float],
        longest: int,
        rate: int | str = "auto",
        seconds: float | str = "auto",
        channels: int = 96,
        depth: int = 4,
        vocoder: str | None = None,
        decode: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        files: Path | None = None,
    ):
        super().__init__()
        self.name, self.mel, self.longest = name, Mel(**mel), longest
        self.mean_F, self.deviation_F = np.array(mean, np.float32), np.array(deviation, np.float32)
        self.reading = ConditionReader(width)
        self.net = Frames(self.mel.bins, width, channels=channels, depth=depth, dropout=dropout)
        self.length = nn.Sequential(nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, 1))
        self.vocoder = None
        if vocoder is not None:
            self.vocoder = Vocoder(vocoder) if files is None else Vocoder(str(files), "random")
        self.how = Speaking().changed(decode or {})

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from the files of its ``Spec``, where it has a vocoder."""
        return {"files": folder} if (folder / "config.json").is_file() else {}

    @property
    def decoding(self) -> dict[str, Any]:
        """How sounds are made, by name, for a report."""
        return {**self.how.said(), "samples": "Griffin-Lim" if self.vocoder is None else "the vocoder"}

    def writing(self, **options: Any) -> Speaking:
        """How sounds are made, the head's own way changed by some options.

        Raises:
            ValueError: no such option, or one out of bounds.
        """
        return self.how.changed(options)

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Mean squared error of the velocity of frames, and the length's error, per row (B,); 0 without a target."""
        cells = batch.outputs[self.name]
        frames_BNF, lengths_B = (cells.rows(cells.fields[key]) for key in ("frames", "lengths"))  # type: ignore[index]
        mask_BN = length_mask(lengths_B, frames_BNF.shape[1])
        given = self.reading(fused)
        how = (self._masked(mask_BN), frames_BNF, given, batch.rows_B)
        loss_BNF = flow_loss(*how, training=self.training, forget=FORGOTTEN)
        loss_B = (loss_BNF.mean(-1) * mask_BN).sum(1) / mask_BN.sum(1).clamp_min(1)
        off_B = self._log_lengths(given) - lengths_B.clamp_min(1).log()
        return (loss_B + LENGTHS * off_B.square()) * cells.present_B

    def _masked(self, mask_BN: Tensor) -> Denoise:
        """The network with the frames that are real; guidance asks for every row twice."""

        def denoise(x_BNF: Tensor, t_B: Tensor, given: Conditions) -> Tensor:
            return self.net(x_BNF, t_B, given, mask_BN if len(x_BNF) == len(mask_BN) else mask_BN.repeat(2, 1))

        return denoise

    def _log_lengths(self, given: Conditions) -> Tensor:
        """Logarithm of the number of frames (B,); as if half of the longest where nothing is known."""
        return self.length(given.mean_BD).float()[:, 0] + float(np.log(max(1, self.longest / 2)))

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """Minus the loss at a time and noise that are always the same for a row (B,)."""
        return -self.loss(said, batch)

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch, **options: Any) -> Prediction:
        """A sound per row, ``{"array": samples from -1 to 1, "sampling_rate": Hz}``.

        Args:
            options: of ``decode``, over the head's own.
        """
        how, rows = self.writing(**options), batch.rows_B.tolist()
        given = self.reading(fused)
        lengths_B = (self._log_lengths(given).exp() / how.speed).round().clamp(2, self.longest).long()
        mask_BN = length_mask(lengths_B, int(lengths_B.max()))
        noise = draw_noise(rows, how.seed, (mask_BN.shape[1], self.mel.bins), given.mean_BD)
        made_BNF = sample(self._masked(mask_BN), noise * mask_BN[..., None], given, how).cpu().numpy()
        sounds = [self._sound(one[:length], how) for one, length in zip(made_BNF, lengths_B.tolist(), strict=True)]
        return Prediction(sounds, None, {})

    def _sound(self, frames_NF: np.ndarray, how: Speaking) -> dict[str, Any]:
        """Frames as they are learnt -> a sound."""
        log_NF = np.clip(frames_NF, -FARTHEST, FARTHEST) * self.deviation_F + self.mean_F
        if self.vocoder is None:
            wave_S = self.mel.wave(log_NF, rounds=how.rounds, seed=how.seed)
        else:
            device = next(self.vocoder.parameters()).device
            wave_S = self.vocoder(torch.from_numpy(log_NF).to(device)).float().cpu().numpy()
        loudest = max(1.0, float(np.abs(wave_S).max(initial=0)))
        return {"array": wave_S / np.float32(loudest), "sampling_rate": self.mel.rate}
