"""One step of an ordered scale: cumulative logits with ordered thresholds, as in proportional odds models."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.heads.scored import OneClassHead
from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Prediction, Spec

ANSWERS = ("median", "mode")
LEAST = 1e-3  # distance of two thresholds


class Ordinal(OneClassHead):
    """One of several ordered classes, such as stars or grades: one number per row, cut by learnt thresholds.

    P(class <= k) = sigmoid(threshold_k - number) with rising thresholds, so that being two steps off costs more than
    one. Scores are log-probabilities of the classes, so that temperatures, decisions and ensembles treat them like
    those of ``category``; members of an ensemble learn the classes without their order.

    Args:
        name: the output's.
        width: D.
        classes, counts: labels from the lowest to the highest, and how often each was seen in training.
        order: labels from the lowest to the highest; numbers have an order of their own.
        answer: the ``median`` of the probabilities, which is the fewest steps off, or their ``mode``, the class that
            is right most often.
        pool, dropout: see ``layers.readout``.

    See also: ``category``, where no order is known; ``number``, where the distances of labels mean something.
    """

    paper = "McCullagh, Regression Models for Ordinal Data, JRSS B 1980"
    task = "ordinal"
    learnt_as = "category"  # by the members of an ensemble

    @staticmethod
    def wants(*, order: list | None = None, answer: str = "median", pool: str = "auto", dropout: float = 0.1) -> Spec:
        """The target column as class numbers, in order."""
        del answer, pool, dropout
        return Spec("target.ordinal", {"order": order})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        counts: list[int],
        order: list | None = None,
        answer: str = "median",
        pool: str = "auto",
        dropout: float = 0.1,
    ):
        del order  # the transform's business
        super().__init__()
        if answer not in ANSWERS:
            raise ValueError(f"answer: expected one of {', '.join(ANSWERS)}, found {answer!r}")
        self.name, self.classes, self.answer = name, classes, answer
        self.read = Readout(width, 1, pool=pool, dropout=dropout)
        first, gaps = _thresholds(counts)
        self.first = nn.Parameter(torch.tensor(first))
        self.gaps = nn.Parameter(torch.tensor(gaps)) if gaps else None  # of two classes there is one threshold

    def scores(self, fused: Fused, batch: Batch) -> Tensor:  # noqa: ARG002
        """Log-probabilities (B, C), before the temperature."""
        number_B1 = self.read(fused.tokens).float()
        low_B1 = self.first - number_B1
        if self.gaps is None:
            return torch.cat([F.logsigmoid(low_B1), F.logsigmoid(-low_B1)], 1)
        gap_K = F.softplus(self.gaps) + LEAST
        upper_BK = low_B1 + torch.cat([gap_K.new_zeros(1), gap_K.cumsum(0)])  # C - 1 thresholds
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): exact where the difference itself is 0
        inner_BK = F.logsigmoid(upper_BK[:, 1:]) + F.logsigmoid(-upper_BK[:, :-1]) + (-torch.expm1(-gap_K)).log()
        return torch.cat([F.logsigmoid(upper_BK[:, :1]), inner_BK, F.logsigmoid(-upper_BK[:, -1:])], 1)

    def loss_of(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """Minus the log-likelihood per row (B,), 0 where the target is missing."""
        cells = batch.outputs[self.name]
        target_B = cells.rows(cells.fields["target"])  # type: ignore[index]
        return F.cross_entropy(scores_BC.float(), target_B, reduction="none") * cells.present_B

    def quality(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """1 where the answer is right, less by its share of all steps where it is off (B,)."""
        cells = batch.outputs[self.name]
        off_B = self._answer(scores_BC.softmax(-1)) - cells.rows(cells.fields["target"])  # type: ignore[index]
        return 1 - off_B.abs().float() / (len(self.classes) - 1)

    def _answer(self, probability_BC: Tensor) -> Tensor:
        if self.answer == "mode":
            return probability_BC.argmax(-1)
        below_BC = probability_BC.cumsum(-1) < 0.5 - 1e-6
        return below_BC.sum(-1).clamp_max(len(self.classes) - 1)

    def portable(self) -> dict[str, Any]:
        """How its scores are read without it."""
        told = {"form": "step", "classes": self.classes, "temperature": float(self.temperature)}
        return {**told, "answer": self.answer}

    def decode(self, scores_BC: Tensor) -> Prediction:
        """Labels, with ``probabilities`` (B, C) and the ``confidence`` in each (B,)."""
        probability_BC = (scores_BC.detach().float() / self.temperature).softmax(-1)
        at_B = self._answer(probability_BC)
        confidence_B = probability_BC.gather(-1, at_B[:, None])[:, 0]
        extra = {"probabilities": probability_BC.cpu().numpy(), "confidence": confidence_B.cpu().numpy()}
        return Prediction([self.classes[at] for at in at_B.tolist()], scores_BC, extra)


def _thresholds(counts: list[int]) -> tuple[float, list[float]]:
    """Thresholds by which a number of 0 gives the shares of training: the first, and what softplus makes distances."""
    seen, total, places = 0.0, sum(counts) + 0.5 * len(counts), []
    for count in counts[:-1]:
        seen += count + 0.5
        places.append(math.log(seen / (total - seen)))
    gaps = [max(high - low - LEAST, 1e-2) for low, high in pairwise(places)]
    return places[0], [math.log(math.expm1(gap)) for gap in gaps]
