"""Events in time: what happens from when to when in a sound or a video, each with a label; several at once."""

# ruff: noqa: ARG002, ARG004 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.data.cells.target_events import written
from polyfuse.layers.positions import length_mask
from polyfuse.layers.readout import Readout
from polyfuse.layers.recurrent import Bidirectional
from polyfuse.layers.timeline import ends, mean_by_step
from polyfuse.metrics.events import count_segments
from polyfuse.records import Batch, Fused, Prediction, Spec, Tokens

RARE = -2.0  # where scores begin: most labels are off most of the time
RAREST = 0.01  # share of the time below which a label counts no more than at it


class Events(nn.Module):
    """Scores of every label at every step of time, of which runs above one half are events.

    The tokens of each input, after fusion, are laid on one line of steps, joined with the joint tokens and read in both
    directions; every label has a probability of its own, so that several may happen at once. Two events of one label
    without a gap between them become one.

    Args:
        name: the output's.
        width: D.
        classes: the labels.
        shortest: seconds that one event in twenty is shorter than; runs of less than half of that are none.
        busy: seconds of events in a training row, on average.
        inputs: names of the inputs that read the recordings, sound or video.
        step: seconds; events begin and end at whole steps.
        pool: of the joint tokens, see ``layers.readout``.
        dropout: before each layer, in training.

    See also: ``labels``, where it does not matter when.
    """

    paper = "Çakır et al., Convolutional recurrent neural networks for polyphonic sound event detection, TASLP 2017"
    task = "events"

    @spec_of("name", "width", "classes", "shortest", "busy")
    @staticmethod
    def wants() -> Spec:
        """The target column."""
        return Spec("target.events")

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        shortest: float,
        busy: float = 1.0,
        inputs: Sequence[str] | None = None,
        step: float = 0.05,
        pool: str = "auto",
        dropout: float = 0.1,
    ):
        super().__init__()
        if not 0.001 <= step <= 10:
            raise ValueError(f"step={step!r}: expected seconds, 0.001 to 10")
        self.name, self.classes, self.inputs, self.step = name, classes, tuple(inputs or ()), float(step)
        self.busy = busy / max(1, len(classes))  # seconds of each label
        self.least = max(1, round(shortest / 2 / step))  # steps of an event
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.inputs)
        self.sees = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.inputs)
        self.joint = Readout(width, width, pool=pool, dropout=dropout)
        self.read = Bidirectional(width, width // 2, kind="gru")
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(width, len(classes))
        nn.init.constant_(self.out.bias, RARE)

    @staticmethod
    def timed(*, inputs: Sequence[str] | None = None, **others: Any) -> list[str]:
        """The inputs whose tokens it lays on a line of time."""
        return list(inputs or ())

    def logits(self, fused: Fused) -> tuple[Tensor, Tensor]:
        """Scores of each label at each step (B, F, C) float32, and steps of each row (B,)."""
        found = [(name, fused.by_input[name]) for name in self.inputs if name in fused.by_input]
        end_B = torch.stack([ends(_with_places(name, tokens)) for name, tokens in found]).amax(0)
        lengths_B = torch.ceil(end_B / self.step - 1e-3).long()
        count = max(1, int(lengths_B.max()))
        real_BF = length_mask(lengths_B, count)
        hidden_BFD = self.joint(fused.tokens)[:, None].expand(-1, count, -1)
        layers = {name: at for at, name in enumerate(self.inputs)}
        for name, tokens in found:
            mean_BFD, known_BF = mean_by_step(tokens, self.step, count)
            seen_BFD = self.sees[layers[name]](self.drop(self.norms[layers[name]](mean_BFD)))
            hidden_BFD = hidden_BFD + seen_BFD * known_BF[..., None]
        hidden_BFD = F.gelu(hidden_BFD) * real_BF[..., None]
        hidden_BFD = hidden_BFD + self.read(hidden_BFD, real_BF)
        return self.out(self.drop(hidden_BFD)).float(), lengths_B

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Cross-entropy of every label at every step, a mean over both (B,).

        Where a label is on counts more, by the square root of how much rarer that is: else, for long, the best answer
        is that nothing happens.
        """
        scores_BFC, lengths_B = self.logits(fused)
        cells = batch.outputs[self.name]
        target_BE3 = cells.rows(cells.fields["target"])  # type: ignore[index]
        number_B = cells.rows(cells.fields["lengths"])  # type: ignore[index]
        active_BFC = self._active(target_BE3, number_B, scores_BFC)
        real_BF = length_mask(lengths_B, scores_BFC.shape[1])
        share_B = (self.busy / (lengths_B.clamp_min(1) * self.step)).clamp(RAREST, 0.5)
        on_BFC = 1 + active_BFC * (((1 - share_B) / share_B).sqrt() - 1)[:, None, None]
        loss_BFC = F.binary_cross_entropy_with_logits(scores_BFC, active_BFC, on_BFC, reduction="none")
        loss_BF = loss_BFC.mean(-1) * real_BF
        return loss_BF.sum(1) / lengths_B.clamp_min(1) * cells.present_B

    def _active(self, target_BE3: Tensor, number_B: Tensor, like_BFC: Tensor) -> Tensor:
        """Which label is on at the middle of which step: (B, F, C), 0 and 1."""
        middle_F = (torch.arange(like_BFC.shape[1], device=like_BFC.device) + 0.5) * self.step
        start_BE1, end_BE1 = target_BE3[..., :1], target_BE3[..., 1:2]
        real_BE1 = length_mask(number_B, target_BE3.shape[1])[..., None]
        over_BEF = ((middle_F >= start_BE1) & (middle_F < end_BE1) & real_BE1).to(like_BFC.dtype)
        label_BEC = F.one_hot(target_BE3[..., 2].long(), len(self.classes)).to(like_BFC.dtype)
        return (over_BEF.transpose(1, 2) @ label_BEC).clamp_max(1)

    def quality(self, fused: Fused, batch: Batch) -> Tensor:
        """F1 of the segments of a row, 1 where nothing happens and nothing is said: (B,)."""
        said, cells = self.predict(fused, batch).value, batch.outputs[self.name]
        target_BE3 = cells.rows(cells.fields["target"]).tolist()  # type: ignore[index]
        number_B, present_B = cells.rows(cells.fields["lengths"]).tolist(), cells.present_B.tolist()  # type: ignore[index]
        found = []
        for events, number, own, present in zip(target_BE3, number_B, said, present_B, strict=True):
            true = [written(start, end, self.classes[int(n)]) for start, end, n in events[:number]]
            counts = count_segments([true], [own])
            right, both = counts.right_NL.sum(), counts.said_NL.sum() + counts.true_NL.sum()
            found.append(float(present) * (2 * right / both if both else 1.0))
        return torch.tensor(found, device=cells.index_BK.device, dtype=torch.float32)

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """Events of every row in order of time; ``confidence``: how sure, on average, each label is at each step."""
        scores_BFC, lengths_B = self.logits(fused)
        p_BFC = scores_BFC.sigmoid()
        sure_BF = torch.maximum(p_BFC, 1 - p_BFC).mean(-1) * length_mask(lengths_B, p_BFC.shape[1])
        confidence_B = sure_BF.sum(1) / lengths_B.clamp_min(1)
        rows = zip(p_BFC.cpu().numpy(), lengths_B.tolist(), strict=True)
        value = [self._events(p_FC[:length]) for p_FC, length in rows]
        return Prediction(value, None, {"confidence": confidence_B.cpu().numpy()})

    def _events(self, p_FC: np.ndarray) -> list[dict[str, Any]]:
        """Runs above one half, gaps of less than the least number of steps closed, shorter ones left out."""
        found = []
        for place, label in enumerate(self.classes):
            runs = _runs(p_FC[:, place] > 0.5)
            joined: list[list[int]] = []
            for start, end in runs:
                if joined and start - joined[-1][1] < max(1, self.least // 2):
                    joined[-1][1] = end
                else:
                    joined.append([start, end])
            found += [written(s * self.step, e * self.step, label) for s, e in joined if e - s >= self.least]
        return sorted(found, key=lambda event: (event["start"], event["end"], str(event["label"])))


def _runs(on_F: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of True begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on_F, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _with_places(name: str, tokens: Tokens) -> Tokens:
    """Tokens that say when they are.

    Raises:
        ValueError: they do not.
    """
    if tokens.span_BT2 is None:
        raise ValueError(
            f"input {name!r}: its encoder does not say when in the recording its tokens lie; expected one such as "
            "windows, spectrogram_cnn or frames with over_time, and a fusion that keeps tokens"
        )
    return tokens
