"""The method ``attention``: where encoders with self-attention look, rolled out over their layers, of saved models.

Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020. It says where an encoder looks, whatever the
output, and neither for nor against it (Jain and Wallace, Attention is not Explanation, NAACL 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from polyfuse.explain.attribution import Attribution, Attributions, Question
from polyfuse.explain.integrated_gradients import OTHERS, differentiable
from polyfuse.explain.value_parts import column_names, squares_of, words_of
from polyfuse.model.servant import BundleServant
from polyfuse.records import Batch, Tokens

MEANING = "shares of attention say where an encoder looks: neither for nor against an answer, and the same for all"


class AttentionRollout:
    """Where encoders with self-attention look: shares of each cell that sum to 1, the same for every output.

    The attention of every layer, a mean over heads, is mixed with the path around it, and multiplied up the layers.

    Args:
        around: share of the path around each layer, from 0 to 1.

    See also:
        ``integrated_gradients`` and ``occlusion``, which say what an answer comes from; ``polyfuse attend`` for the
        words of texts that a model writes.
    """

    paper = "Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020"

    def __init__(self, *, around: float = 0.5):
        if not isinstance(around, (int, float)) or not 0 <= around <= 1:
            raise ValueError(f"attention: around {around!r}: expected a share from 0 to 1")
        self.around = around

    def explain(self, question: Question) -> Attributions:
        """Shares of patches, words, stretches, pictures of a video and columns.

        Raises:
            ValueError: the model is exported, or no encoder of what the row has attends to itself.
        """
        servant = differentiable(question, "attention")
        network, notes, parts = servant.bundle.network, [MEANING], list[Attribution]()
        batch = servant.batch([question.record])
        training = network.training
        network.eval()
        try:
            for name, readers in network.fused.items():
                for reader in readers:
                    if not bool((batch.inputs[reader].index_BK >= 0).any()):
                        continue
                    found = self._shares(servant, batch, reader)
                    if found is None:
                        kind = type(network.encoder(reader)).__name__
                        notes.append(f"input {name!r}: its encoder {kind} has no self-attention over tokens of a cell")
                    else:
                        parts += _parts(servant, batch, question, reader, *found)
        finally:
            network.train(training)
        if not parts:
            raise ValueError(f"attention: {'; '.join(notes[1:])}: {OTHERS}")
        return Attributions(parts, shares=True, notes=notes)

    def _shares(self, servant: BundleServant, batch: Batch, reader: str) -> tuple[Tokens, np.ndarray] | None:
        """Tokens of a reader's cells, and the share of each (U, T); None without self-attention over them."""
        cells, looks = batch.inputs[reader], _Looks()
        with torch.no_grad(), looks:
            tokens: Tokens = servant.bundle.network.encoder(reader)(cells.fields, cells.present_U)
        shape = (*tokens.mask_BT.shape, tokens.mask_BT.shape[1])
        layers = [look for look in looks.found if look.shape == shape]
        if not layers:
            return None
        return tokens, rollout(layers, tokens.mask_BT, self.around)


def rollout(layers_UTT: Sequence[Tensor], mask_UT: Tensor, around: float = 0.5) -> np.ndarray:
    """How much of what tokens say in the mean comes from each of them (U, T); it sums to 1 over real ones.

    Args:
        layers_UTT: attention of each layer, a mean over heads, from the lowest to the highest.
        around: share of the path around each layer.
    """
    own_TT = torch.eye(mask_UT.shape[1], device=mask_UT.device)
    flow_UTT = own_TT.expand(len(mask_UT), -1, -1)
    for layer_UTT in layers_UTT:
        flow_UTT = ((1 - around) * layer_UTT.float() + around * own_TT) @ flow_UTT
    real_UT = mask_UT.float()
    share_UT = (flow_UTT * real_UT[..., None]).sum(1) * real_UT
    return (share_UT / share_UT.sum(1, keepdim=True).clamp_min(1e-12)).cpu().numpy()


class _Looks(TorchFunctionMode):
    """Remembers the weights of every attention, a mean over heads (U, T, S)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.found.append(_weights(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,  # noqa: ARG001 - one signature with torch's
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    score = (query @ key.transpose(-1, -2)).float() * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        score = score.masked_fill(torch.ones_like(score[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    if attn_mask is not None:
        whole = attn_mask.dtype == torch.bool
        score = score.masked_fill(~attn_mask, float("-inf")) if whole else score + attn_mask.float()
    return score.softmax(-1).mean(1)


def _parts(
    servant: BundleServant, batch: Batch, question: Question, reader: str, tokens: Tokens, share_UT: np.ndarray
) -> list[Attribution]:
    """Shares of tokens as shares of parts of the cells; special tokens in front are left out."""
    recipe, transform = servant.bundle.recipe, servant.bundle.transforms[f"in:{reader}"]
    item, fields = recipe.readers[reader], batch.inputs[reader].fields
    index_K = batch.inputs[reader].index_BK[0].tolist()
    if isinstance(fields, dict) and "numbers" in fields and "categories" in fields:
        names = [name for own in column_names(transform) for name in own]
        share_T = share_UT[0][-len(names) :]
        scores = {name: float(sum(s for s, own in zip(share_T, names, strict=True) if own == name)) for name in names}
        total = sum(scores.values())
        return [Attribution("column", "", np.array(list(scores.values())) / total, labels=list(scores))]
    slots = [(c, n) for c in item.columns for n in range(recipe.data.slots.get(c, 1))]
    slots = slots if len(slots) == len(index_K) else [(c, 0) for c in item.columns]
    found = []
    for (column, slot), at in zip(slots, index_K, strict=True):
        if at >= 0:
            share_T, span_T2 = share_UT[at], None
            if tokens.span_BT2 is not None:
                span_T2 = tokens.span_BT2[at].cpu().numpy()
            found.append(_part(str(item.modality), transform, question, column, slot, tokens, share_T, span_T2))
    return found


def _part(
    kind: str,
    transform: Any,
    question: Question,
    column: str,
    slot: int,
    tokens: Tokens,
    share_T: np.ndarray,
    span_T2: np.ndarray | None,
) -> Attribution:
    """The shares of one cell, which sum to 1 without special tokens and padding."""
    if len(tokens.grid) == 2:
        high, wide = tokens.grid
        own = share_T[tokens.prefix : tokens.prefix + high * wide]
        item = question.items(column)[slot]
        squares = squares_of(transform, item, (high, wide), range(high + 1), range(wide + 1))
        return Attribution(kind, column, own / max(own.sum(), 1e-12), squares, slot=slot)
    if span_T2 is None:
        return Attribution("column", "", np.ones(1), labels=[column])
    if kind == "text":
        text = str(question.record.get(column))
        scores, spans, _ = words_of(text, span_T2, share_T)
        labels = [text[int(start) : int(end)] for start, end in spans]
        return Attribution(kind, column, scores / max(scores.sum(), 1e-12), spans, labels, slot)
    real = np.flatnonzero((span_T2[:, 1] > span_T2[:, 0]) & (share_T > 0))
    own = share_T[real]
    return Attribution(
        kind, column, own / max(own.sum(), 1e-12), [tuple(map(float, span_T2[n])) for n in real], slot=slot
    )
