"""Batched prediction from a network: rows in order, any inputs hidden, results joined over batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.contracts import Ruled, ShowsAttention, Streams, Writes, offers
from polyfuse.data.batches import Order, Rows, loader
from polyfuse.heads.text.word_attention import TextAttention
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.shared_space import normalize
from polyfuse.model.ensemble import MemberInputs, hide_inputs
from polyfuse.model.network import Network
from polyfuse.records import Batch, Prediction, State, Tokens
from polyfuse.system.device import device_of
from polyfuse.system.messages import progress

BATCH = 128


def iter_states(
    network: Network,
    rows: Rows,
    *,
    keeps: Sequence[Collection[str] | None] = (None,),
    numbers: np.ndarray | None = None,
) -> Iterator[tuple[Batch, list[State]]]:
    """Every batch with a state per subset of inputs, in eval mode and without gradients; encoders run once per batch.

    Args:
        keeps: subsets of inputs that stay present, the others being missing in every row; None for all inputs.
        numbers: row numbers to visit; all by default.
    """
    device = device_of(network)
    numbers = np.arange(len(rows)) if numbers is None else numbers
    training = network.training
    network.eval()
    try:
        order = Order(numbers, BATCH)
        for batch in progress(loader(rows, order), "answering", len(order)) if len(numbers) else []:
            with torch.inference_mode():
                looks = [(b, network.encode(b), network.member_inputs(b)) for b in _views(network, rows, batch, device)]
                found = [
                    _average_views(network, [_keep_inputs(network, *look, keep) for look in looks]) for keep in keeps
                ]
                yield looks[0][0], found
    finally:
        network.train(training)


def _views(network: Network, rows: Rows, batch: Batch, device: torch.device) -> Iterator[Batch]:
    """A batch on the device, what frozen encoders read of it being read, and its further views."""
    first = network.encode_frozen(batch.to(device))
    yield first
    for view in rows.views.augmented(batch):  # random draws are the processor's
        changed = {name: view.inputs[name].to(device) for name in rows.views.changes if name not in network.frozen}
        yield replace(first, inputs={**first.inputs, **changed})


def _average_views(network: Network, states: list[State]) -> State:
    """Average the predictions of several views of the same rows."""
    first, even = states[0], 1 / len(states)
    for name in network.outputs if len(states) > 1 else ():
        if name in first.scores:
            scores_BVC = torch.stack([state.scores[name] for state in states], 1)
            weight_BV = scores_BVC.new_full(scores_BVC.shape[:2], even)
            first.scores[name] = network.head(name).combine(scores_BVC, weight_BV, "mean")
    return first


def _keep_inputs(
    network: Network, batch: Batch, encoded: dict[str, Tokens], heard: MemberInputs | None, keep: Collection[str] | None
) -> State:
    """The state when only some inputs stay; its encoded inputs are all of them."""
    gone = [] if keep is None else [name for name in network.inputs if name not in keep]
    less = heard.without(gone, network.reads) if heard is not None and gone else heard
    return replace(network.fuse_and_score(hide_inputs(encoded, gone), batch, less), encoded=encoded)


def predict(
    network: Network,
    rows: Rows,
    *,
    numbers: np.ndarray | None = None,
    outputs: Collection[str] | None = None,
    decoding: Decoding | None = None,
) -> dict[str, Prediction]:
    """Output name -> prediction over all rows, or over those of ``numbers``; see ``predict_subsets``."""
    return predict_subsets(network, rows, [None], numbers=numbers, outputs=outputs, decoding=decoding)[0]


def predict_subsets(
    network: Network,
    rows: Rows,
    keeps: Sequence[Collection[str] | None],
    *,
    numbers: np.ndarray | None = None,
    outputs: Collection[str] | None = None,
    decoding: Decoding | None = None,
) -> list[dict[str, Prediction]]:
    """For each subset of inputs, output name -> prediction over all rows.

    Args:
        outputs: those that are to answer; all by default.
        decoding: output -> how its head writes, where it does.
    """
    asked = [name for name in network.outputs if outputs is None or name in outputs]
    parts: list[dict[str, list[Prediction]]] = [{name: [] for name in asked} for _ in keeps]
    for batch, found in iter_states(network, rows, keeps=keeps, numbers=numbers):
        with torch.inference_mode():
            for part, state in zip(parts, found, strict=True):
                for name in asked:
                    part[name].append(network.predict_output(name, state, batch, (decoding or {}).get(name)))
    return [{name: concatenate(pieces) for name, pieces in part.items()} for part in parts]


Decoding = Mapping[str, Mapping[str, Any]]
"""Output -> options of how its head makes answers; see ``contracts.Writes``."""


def check_decoding(network: Network, options: Mapping[str, Any] | None) -> Decoding:
    """Check decoding options by output.

    Args:
        options: those of all outputs that write, or output -> its own.

    Raises:
        ValueError: no output writes, or no such option.
    """
    writing = [name for name in network.outputs if offers(network.head(name), Writes)]
    if not options:
        return {}
    by_output = set(options) <= set(network.outputs) and all(isinstance(own, Mapping) for own in options.values())
    if (
        other := sorted(set(options) - set(writing))
        if by_output
        else []
        if writing
        else network.outputs[:1] or ["none"]
    ):
        raise ValueError(
            f"decode: output {other[0]!r} makes nothing step by step; outputs that do: {', '.join(writing) or 'none'}"
        )
    found = dict(options) if by_output else {name: dict(options) for name in writing}
    for name, own in found.items():
        try:
            network.head(name).writing(**own)
        except ValueError as error:
            named = "" if by_output or len(found) == 1 else f"; of one output alone: {{{name!r}: {{...}}}}"
            raise ValueError(f"decode of output {name!r}: {error}{named}") from None
    return found


def _writer(network: Network, output: str | None, contract: type) -> str:
    """The output that is asked for, or the only one that writes.

    Args:
        contract: what its head must offer.

    Raises:
        ValueError: no such output, none that writes, or several of them and none named.
    """
    able = [name for name in network.outputs if offers(network.head(name), contract)]
    if output in able:
        return output  # type: ignore[return-value]
    known = f"outputs that do: {', '.join(able) or 'none'}"
    if output is not None:
        raise ValueError(f"output {output!r} writes no text; {known}")
    if len(able) != 1:
        raise ValueError(f"{'no output writes' if not able else 'name the output that is to write'} a text; {known}")
    return able[0]


def streaming_output(network: Network, output: str | None) -> str:
    """The output whose text can be read while it is written; see ``_writer``."""
    return _writer(network, output, Streams)


def attention_output(network: Network, output: str | None) -> str:
    """The output that can show what its text was written about; see ``_writer``."""
    return _writer(network, output, ShowsAttention)


def stream(
    network: Network, rows: Rows, output: str, *, numbers: np.ndarray | None = None, decoding: Decoding | None = None
) -> Iterator[str]:
    """The text of one row so far, after every further unit; the last is what ``predict`` says.

    Args:
        output: one whose head writes.
        numbers: the row's number, in an array.
    """
    ((batch, (state,)),) = list(iter_states(network, rows, numbers=numbers))
    texts = network.head(output).stream(state.fused, batch, **(decoding or {}).get(output, {}))
    while True:  # whoever reads may train in between
        training = network.training
        network.eval()
        try:
            said = next(texts, None)
        finally:
            network.train(training)
        if said is None:
            return
        yield said[0]


def attend(
    network: Network,
    rows: Rows,
    output: str,
    *,
    numbers: np.ndarray | None = None,
    decoding: Decoding | None = None,
) -> list[TextAttention]:
    """Compute the attention of each row's text to its inputs.

    Args:
        output: one whose head can say it; see ``contracts.ShowsAttention``.
    """
    found: list[TextAttention] = []
    for batch, (state,) in iter_states(network, rows, numbers=numbers):
        said = network.head(output).attended(state.fused, batch, **(decoding or {}).get(output, {}))
        present = {name: tokens.present_B.tolist() for name, tokens in state.encoded.items()}
        for b, (row, one) in enumerate(zip(batch.rows_B.tolist(), said, strict=True)):
            gone = [name for name, present_B in present.items() if not present_B[b]]
            found.append(replace(one.without(gone), row=row))
    return found


Rules = Mapping[str, np.ndarray]
"""Output -> the rule by which its classes are answered instead of the head's own; see the heads."""


def decision_rules(network: Network, costs: Mapping[Any, Any] | None, thresholds: Any = None) -> dict[str, np.ndarray]:
    """Make the decision rules of costs and thresholds.

    Args:
        costs: output -> class -> cost, or class -> cost where one output has classes.
        thresholds: output -> class -> probability, in the same forms; or one number for an output of labels.

    Raises:
        ValueError: no such output or class, an output without classes, or a number out of bounds.
    """
    asked: dict[str, dict[str, Any]] = {}
    for what, given in (("cost", costs), ("threshold", thresholds)):
        for name, own in ({} if given is None else _by_output(network, given, what)).items():
            asked.setdefault(name, {})[what] = own
    return {name: network.head(name).decision_rule(**own) for name, own in asked.items()}


def _by_output(network: Network, given: Any, what: str) -> Mapping[str, Any]:
    judged = [name for name in network.outputs if offers(network.head(name), Ruled)]
    several = isinstance(given, Mapping) and given and set(given) <= set(network.outputs)
    if several and all(isinstance(own, Mapping) or name in judged for name, own in given.items()):
        if other := sorted(set(given) - set(judged)):
            raise ValueError(f"{what}: output {other[0]!r} has no classes to weigh")
        return given
    if len(judged) == 1:
        return {judged[0]: given}
    listed = ", ".join(map(repr, judged)) or "none"
    raise ValueError(f"{what}: expected OUTPUT: {{CLASS: {what}}}, found {given!r}. Outputs with classes: {listed}")


def apply_rules(network: Network, predictions: dict[str, Prediction], rules: Rules) -> dict[str, Prediction]:
    """Apply decision rules to predictions."""
    again = {name: network.head(name).decode(predictions[name].scores, rule_C) for name, rule_C in rules.items()}
    return {**predictions, **again}


def concatenate(parts: list[Prediction]) -> Prediction:
    """Concatenate the predictions of batches."""
    value = [item for part in parts for item in part.value]
    scores = [part.scores for part in parts if part.scores is not None]
    extra: dict[str, Any] = {}
    for key in parts[0].extra if parts else ():
        pieces = [part.extra[key] for part in parts]
        joined = all(isinstance(piece, np.ndarray) for piece in pieces)
        extra[key] = np.concatenate(pieces) if joined else [item for piece in pieces for item in piece]
    return Prediction(value, torch.cat(scores).cpu() if scores else None, extra)


def shared_vectors(
    network: Network, rows: Rows, numbers: np.ndarray | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Aligned input -> its unit vectors in the shared space (rows, E) float32, and where it is present (rows,)."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in network.aligned}
    for _, (state,) in iter_states(network, rows, numbers=numbers):
        for name, parts in found.items():
            parts.append((normalize(state.shared[name]).cpu().numpy(), state.encoded[name].present_B.cpu().numpy()))
    return {name: tuple(np.concatenate(side) for side in zip(*parts, strict=True)) for name, parts in found.items()}  # type: ignore[misc]


def embed(network: Network, rows: Rows, *, of: str | None = None) -> np.ndarray:
    """One vector per row (rows, D) float32: the fused representation, or one input's own before fusion.

    Of an aligned input it is the unit vector in the shared space, and zeros where the row misses it.
    """
    if of in network.aligned and len(rows):
        vectors_RE, present_R = shared_vectors(network, rows)[of]
        return vectors_RE * present_R[:, None]
    vectors: list[Tensor] = []
    for _, (state,) in iter_states(network, rows):
        tokens = state.encoded[of] if of is not None else _fused_tokens(state)
        vectors.append(masked_mean(tokens.x_BTD, tokens.mask_BT))
    width = network.width
    return torch.cat(vectors).float().cpu().numpy() if vectors else np.zeros((0, width), np.float32)


def _fused_tokens(state: State) -> Tokens:
    if state.fused is None:
        raise ValueError("this model has no outputs, hence no fusion: name one input to embed (of=...)")
    return state.fused.tokens
