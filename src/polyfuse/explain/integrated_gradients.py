"""The method ``integrated_gradients``: gradients summed on the way from a blank cell to the cell, of saved models.

Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.explain.attribution import Attributions, Question
from polyfuse.explain.encoder_values import Values, run_encoder, values_and_baselines
from polyfuse.explain.value_parts import parts_of
from polyfuse.layers.pooling import pool_tokens
from polyfuse.model.network import Network
from polyfuse.model.servant import BundleServant
from polyfuse.records import Batch, Cells

OTHERS = "the methods occlusion and contribution need none"
AT_ONCE = 16  # steps of one forward pass
DENSE = 3  # power that brings steps near the beginning of the way
GAP = (
    0.05  # of what the scores should add up to, or of a quarter of their sizes, from which it is said that they do not
)


class IntegratedGradients:
    """Gradients summed on the way from blank cells to those of the row; they add up to the change of the answer.

    The way begins at each picture's own mean colour, at silence or mean frames of sounds, at vectors of zeros for
    words, at mean numbers and missing categories. Encoders must be differentiable: plain statistics and trees are not.

    Args:
        steps: of the way.
        inputs: those on the way, the others staying as they are; all that the row has by default.
        patches: squares along the longer side of a picture, into which pixels are summed.
        stretches: of a sound, into which its frames are summed.
        network_alone: explain the network's own answer where others answer beside it.

    See also:
        ``occlusion`` for any model.
    """

    paper = "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017"

    def __init__(
        self,
        *,
        steps: int = 64,
        inputs: Sequence[str] | None = None,
        patches: int = 28,
        stretches: int = 40,
        network_alone: bool = False,
    ):
        for name, given in (("steps", steps), ("patches", patches), ("stretches", stretches)):
            if not isinstance(given, int) or given < 1:
                raise ValueError(f"integrated_gradients: {name} {given!r}: expected a whole number, at least 1")
        self.steps, self.patches, self.stretches = steps, patches, stretches
        self.inputs = [inputs] if isinstance(inputs, str) else inputs
        self.network_alone = network_alone

    def explain(self, question: Question) -> Attributions:
        """Scores of columns, words, patches, stretches and pictures of videos.

        Raises:
            ValueError: the model is exported, or one of its parts has no gradients, by name.
        """
        servant = differentiable(question, "integrated_gradients")
        network, notes = servant.bundle.network, list[str]()
        if network.ensemble is not None and not self.network_alone:
            raise ValueError(
                f"output {question.output!r} is answered by an ensemble of several members, not all of which have "
                f"gradients: {OTHERS}; network_alone=true explains the network's own answer"
            )
        batch = servant.batch([question.record])
        with without_ensemble(network), torch.enable_grad():
            way = _Way(network, batch, question.output, _score(network, question), self._readers(servant, batch))
            full, base = way.ends()
            found = way.attribute(self.steps)
        parts = parts_of(servant, batch, question.record, found, patches=self.patches, stretches=self.stretches)
        said, total = float(question.ask([question.record])[0]), full - base
        if abs(said - full) > 1e-3 * max(1.0, abs(said)):
            notes.append(f"explained is the network's own answer to one look at the row, {full:.4g}")
        summed = sum(float(part.scores.sum()) for part in parts)
        most = max(abs(total), sum(float(abs(part.scores).sum()) for part in parts) / 4)
        if abs(summed - total) > GAP * most:
            notes.append(f"the scores add up to {summed:.4g} instead of {total:.4g}: ask for more steps")
        return Attributions(parts, total, notes=notes)

    def _readers(self, servant: BundleServant, batch: Batch) -> list[str]:
        """Those whose cells lie on the way.

        Raises:
            ValueError: no such input.
        """
        network = servant.bundle.network
        for name in self.inputs or ():
            if name not in network.inputs:
                raise ValueError(f"integrated_gradients: unknown input {name!r}. Known: {', '.join(network.inputs)}.")
        named = network.inputs if self.inputs is None else self.inputs
        readers = [reader for name in named for reader in network.fused[name]]
        return [reader for reader in readers if bool((batch.inputs[reader].index_BK >= 0).any())]


def differentiable(question: Question, method: str) -> BundleServant:
    """The saved model behind a question.

    Raises:
        ValueError: it is an exported one, or one of somebody else's.
    """
    servant: Any = question.servant
    if not isinstance(servant, BundleServant):
        raise ValueError(
            f"{method} looks into a network, which exported folders do not hold: name the saved model that "
            f"{servant.name} was exported from; {OTHERS}"
        )
    return servant


class without_ensemble:
    """Let the network answer alone, in eval mode, for a while."""

    def __init__(self, network: Network):
        self._network, self._kept, self._training = network, network.ensemble, network.training

    def __enter__(self) -> None:
        self._network.ensemble = None
        self._network.eval()

    def __exit__(self, *_: object) -> None:
        self._network.ensemble = self._kept
        self._network.train(self._training)


def _score(network: Network, question: Question) -> Callable[[Tensor], Tensor]:
    """Scores of the output (S, C) -> what is explained (S,): a probability, or the number in its own units."""
    told: dict[str, Any] = network.head(question.output).portable()
    form, at = told["form"], question.place
    if form == "number":
        return lambda scores_SC: _own_units(scores_SC[:, 0], told)
    if form == "labels":
        return lambda scores_SC: scores_SC.sigmoid()[:, at]
    return lambda scores_SC: (scores_SC / told["temperature"]).softmax(-1)[:, at]


def _own_units(standard_S: Tensor, told: dict[str, Any]) -> Tensor:
    plain_S = standard_S.clamp(told["least"], told["most"]) * told["spread"] + told["centre"]
    back = {"none": plain_S, "log": plain_S.exp(), "log1p": plain_S.expm1().clamp_min(0)}
    return told["offset"] + told["slope"] * back[told["log"]]


@dataclass
class _Way:
    """From blank cells to those of a row.

    Args:
        batch: of that one row.
        score: scores (S, C) -> what is explained (S,).
        readers: whose cells lie on the way.
        output: its name.
    """

    network: Network
    batch: Batch
    output: str
    score: Callable[[Tensor], Tensor]
    readers: list[str]

    def __post_init__(self) -> None:
        self.values: dict[str, Values] = {}
        self.baselines: dict[str, Values] = {}
        for reader in self.readers:
            cells = self.batch.inputs[reader]
            encoder = self.network.encoder(reader)
            assert isinstance(cells.fields, dict)
            values, baselines = values_and_baselines(encoder, cells.fields, cells.present_U)
            self.values[reader], self.baselines[reader] = self._live(reader, values), baselines
        self.places = [(reader, key) for reader, own in self.values.items() for key in own]
        self._still = {
            name: self.network.read(name, cells)
            for name, cells in self.batch.inputs.items()
            if name not in self.readers and any(name in own for own in self.network.fused.values())
        }

    def _live(self, reader: str, values: Values) -> Values:
        """Those that the encoder hands a gradient to.

        Raises:
            ValueError: none.
        """
        cells, encoder = self.batch.inputs[reader], self.network.encoder(reader)
        leaves = {key: value.detach().clone().requires_grad_() for key, value in values.items()}
        found: tuple[Any, ...] = ()
        if leaves and any(True for _ in encoder.parameters()):  # plain statistics have none
            tokens = run_encoder(encoder, cells.fields, cells.present_U, leaves)[0]  # type: ignore[arg-type]
            if tokens.x_BTD.requires_grad:
                found = torch.autograd.grad(tokens.x_BTD.float().sum(), list(leaves.values()), allow_unused=True)
        live = {key for key, grad in zip(leaves, found, strict=False) if grad is not None}
        if not live:
            name = next(name for name, own in self.network.reads.items() if reader in own)
            raise ValueError(
                f"input {name!r}: no gradient goes through its encoder {type(encoder).__name__}: {OTHERS}, and "
                "inputs=[...] names those to explain by gradients"
            )
        return {key: value for key, value in values.items() if key in live}

    def forward(self, *values: Tensor) -> Tensor:
        """What is explained at S points of the way (S,); values of each place (S, U, ...)."""
        steps, inputs = len(values[0]), dict[str, Cells]()
        given: dict[str, Values] = {reader: {} for reader in self.readers}
        for (reader, key), value in zip(self.places, values, strict=True):
            given[reader][key] = value.flatten(0, 1)
        for reader in self.readers:
            cells = self.batch.inputs[reader]
            fields = {k: v.repeat(steps, *[1] * (v.ndim - 1)) for k, v in cells.fields.items()}  # type: ignore[union-attr]
            present = cells.present_U.repeat(steps)
            tokens = run_encoder(self.network.encoder(reader), fields, present, given[reader])[0]
            tokens = pool_tokens(tokens) if reader in self.network.pooled else tokens
            index_1K, count = cells.index_BK, len(cells.present_U)
            first_S1 = torch.arange(steps, device=index_1K.device)[:, None] * count
            inputs[reader] = Cells(tokens, torch.where(index_1K >= 0, index_1K + first_S1, -1))
        for name, cells in {**self.batch.inputs, **self._still}.items():
            if name not in inputs:
                inputs[name] = replace(cells, index_BK=cells.index_BK.expand(steps, -1))
        own = {name: replace(c, index_BK=c.index_BK.expand(steps, -1)) for name, c in self.batch.own.items()}
        plain: dict[str, Any] = {
            "rows_B": self.batch.rows_B.expand(steps),
            "weights_B": self.batch.weights_B.expand(steps),
        }
        batch = replace(self.batch, inputs=inputs, own=own, **plain)
        state = self.network.fuse_and_score(self.network.encode(batch), batch)
        return self.score(state.scores[self.output])

    def ends(self) -> tuple[float, float]:
        """What is explained at the end of the way, and at its beginning."""
        with torch.no_grad():
            return tuple(float(self.forward(*self._stacked(own))[0]) for own in (self.values, self.baselines))  # type: ignore[return-value]

    def _stacked(self, own: dict[str, Values]) -> tuple[Tensor, ...]:
        return tuple(own[reader][key].detach()[None] for reader, key in self.places)

    def attribute(self, steps: int) -> dict[str, Values]:
        """Reader -> place -> what each of its values brought, in the shape of the values."""
        ends = (self._stacked(self.baselines), self._stacked(self.values))
        found: dict[str, Values] = {reader: {} for reader in self.readers}
        for (reader, key), scores in zip(self.places, integrate(self.forward, *ends, steps=steps), strict=True):
            found[reader][key] = scores[0]
        return found


def integrate(
    forward: Callable[..., Tensor], baselines: Sequence[Tensor], values: Sequence[Tensor], *, steps: int
) -> list[Tensor]:
    """Integrated gradients of each value, in its shape; together they add up to what is said at the
    values less what is said at the baselines.

    Steps are those of Gauss and Legendre, densest at the beginning: what layers normalise is blank there, and answers
    turn at once behind it.

    Args:
        forward: values at S points (S, ...) -> what is explained (S,), each row by itself.
        baselines, values: the ends of the way, (1, ...) each.
    """
    point_S, weight_S = np.polynomial.legendre.leggauss(steps)
    even_S = (point_S + 1) / 2
    share_S, weight_S = even_S**DENSE, weight_S / 2 * DENSE * even_S ** (DENSE - 1)
    ways = [value - base for base, value in zip(baselines, values, strict=True)]
    summed = [torch.zeros_like(way) for way in ways]
    for first in range(0, steps, AT_ONCE):
        now = slice(first, first + AT_ONCE)
        points = [
            (base + way * torch.as_tensor(share_S[now]).to(way).reshape(-1, *[1] * (way.ndim - 1))).requires_grad_()
            for base, way in zip(baselines, ways, strict=True)
        ]
        grads = torch.autograd.grad(forward(*points).sum(), points)
        for total, grad in zip(summed, grads, strict=True):
            total += torch.einsum("s...,s->...", grad, torch.as_tensor(weight_S[now]).to(grad))[None]
    return [total * way for total, way in zip(summed, ways, strict=True)]
