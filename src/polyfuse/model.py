"""The network: encoders -> fusion -> heads, and the only place where they meet.

It owns what lies between the parts: the projection of each encoder to the model width, slots of several columns,
modality dropout and the learned token of a missing input.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.layers.lora import inject
from polyfuse.recipe import Recipe
from polyfuse.records import Batch, Cells, Fused, Prediction, State, Tokens


class Join(nn.Module):
    """Encoder tokens of distinct cells -> tokens of rows at the model width, the slots of a row joined along T.

    Args:
        encoder_width: width of the encoder's tokens.
        width: D of the model.
        slots: columns of this input; with more than one, each marks its tokens with an embedding.
    """

    def __init__(self, encoder_width: int, width: int, slots: int):
        super().__init__()
        # no normalisation: the length of a token says how much it matters (rare words have long vectors)
        self.project = nn.Linear(encoder_width, width)
        self.slot = nn.Parameter(torch.randn(slots, width) * 0.02) if slots > 1 else None

    def forward(self, tokens: Tokens, index_BK: Tensor) -> Tokens:
        """Tokens (U, T, E), index (B, K) -> Tokens (B, K * T, D)."""
        x_UTD = self.project(tokens.x_BTD)
        at_BK = index_BK.clamp_min(0)
        mask_BKT = tokens.mask_BT[at_BK] & (index_BK >= 0)[..., None]
        x_BKTD = x_UTD[at_BK]
        if self.slot is None:
            span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK[:, 0]]
            return Tokens(x_BKTD[:, 0], mask_BKT[:, 0], tokens.grid, tokens.prefix, span)
        grid = (len(self.slot), *tokens.grid) if tokens.prefix == 0 and tokens.grid else ()
        span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK].flatten(1, 2)
        return Tokens((x_BKTD + self.slot[:, None]).flatten(1, 2), mask_BKT.flatten(1, 2), grid, 0, span)


class Network(nn.Module):
    """Encoders, fusion, heads and objectives of one recipe.

    Args:
        encoders: input name -> encoder.
        fusion: None when there are no outputs.
        heads: output name -> head.
        objectives: extra losses, each with its weight.
        width: D between encoders and heads.
        slots: input name -> number of columns that share the encoder.
        weights: output name -> weight of its loss.
        frozen: inputs whose encoder is never trained; they run in eval mode and without gradients.
        missing: ``mask``, or ``token`` for a learned visible token in place of an absent input.
        modality_dropout: probability of hiding an input of a row from the fusion, in training; one always stays.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        fusion: nn.Module | None,
        heads: Mapping[str, nn.Module],
        objectives: list[tuple[nn.Module, float]],
        *,
        width: int,
        slots: Mapping[str, int],
        weights: Mapping[str, float],
        frozen: frozenset[str] = frozenset(),
        missing: str = "mask",
        modality_dropout: float = 0.0,
    ):
        super().__init__()
        self.inputs, self.outputs = list(encoders), list(heads)
        self.width, self.frozen, self.modality_dropout = width, frozen, modality_dropout
        self.weights = dict(weights)
        # names of columns, such as `type` or `price.eur`, would break module dictionaries
        self.encoders = nn.ModuleDict({f"in_{n}": encoder for n, encoder in enumerate(encoders.values())})
        self.joins = nn.ModuleDict(
            {f"in_{n}": Join(e.width, width, slots[name]) for n, (name, e) in enumerate(encoders.items())}  # type: ignore[arg-type]
        )
        self.fusion = fusion
        self.heads = nn.ModuleDict({f"out_{n}": head for n, head in enumerate(heads.values())})
        self.objectives = nn.ModuleList(module for module, _ in objectives)
        self.objective_weights = [weight for _, weight in objectives]
        self.absent = nn.Parameter(torch.randn(len(encoders), width) * 0.02) if missing == "token" and fusion else None
        for name in frozen:
            self.encoder(name).requires_grad_(False)

    def encoder(self, name: str) -> nn.Module:
        """The encoder of an input."""
        return self.encoders[f"in_{self.inputs.index(name)}"]

    def head(self, name: str) -> Any:
        """The head of an output."""
        return self.heads[f"out_{self.outputs.index(name)}"]

    def train(self, mode: bool = True) -> Network:
        """As usual, but frozen encoders stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.encoder(name).eval()
        return self

    def encode(self, batch: Batch) -> dict[str, Tokens]:
        """Each input's tokens at the model width, before dropout and missing tokens: (B, T_m, D)."""
        return {name: self.encode_one(name, batch.inputs[name]) for name in self.inputs}

    def encode_one(self, name: str, cells: Cells) -> Tokens:
        """One input's tokens at the model width (B, T_m, D)."""
        tokens = cells.fields
        if not isinstance(tokens, Tokens):
            with torch.set_grad_enabled(torch.is_grad_enabled() and name not in self.frozen):
                tokens = self.encoder(name)(tokens, cells.present_U)
        return self.joins[f"in_{self.inputs.index(name)}"](tokens, cells.index_BK)

    def fuse(self, encoded: dict[str, Tokens]) -> Fused | None:
        """Fusion of what is present: modality dropout in training, and missing tokens, happen here."""
        if self.fusion is None:
            return None
        return self.fusion(self._with_absent(self._with_dropout(encoded)))

    def _with_dropout(self, encoded: dict[str, Tokens]) -> dict[str, Tokens]:
        if not self.training or self.modality_dropout == 0 or len(encoded) < 2:
            return encoded
        present_BM = torch.stack([tokens.present_B for tokens in encoded.values()], 1)
        chance_BM = torch.rand(present_BM.shape, device=present_BM.device)
        keep_BM = chance_BM >= self.modality_dropout
        # the present input with the highest draw stays, so that no row is left with nothing
        stays_B = (chance_BM * present_BM).argmax(1, keepdim=True)
        keep_BM = keep_BM.scatter(1, stays_B, True)
        return {
            name: Tokens(t.x_BTD, t.mask_BT & keep_BM[:, m, None], t.grid, t.prefix, t.span_BT2)
            for m, (name, t) in enumerate(encoded.items())
        }

    def _with_absent(self, encoded: dict[str, Tokens]) -> dict[str, Tokens]:
        if self.absent is None:
            return encoded
        return {
            name: _stand_in(tokens, token_D)
            for (name, tokens), token_D in zip(encoded.items(), self.absent, strict=True)
        }

    def forward(self, batch: Batch) -> State:
        """Batch -> State."""
        encoded = self.encode(batch)
        return State(encoded, self.fuse(encoded))

    def losses(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Weighted mean losses by name: ``out:NAME`` per output, ``NAME`` per objective. Their sum is trained."""
        found = {}
        for name in self.outputs:
            weight_B = batch.weights_B * batch.outputs[name].present_B
            loss_B = self.head(name).loss(state.fused, batch)
            found[f"out:{name}"] = self.weights[name] * (loss_B * weight_B).sum() / weight_B.sum().clamp_min(1e-6)
        for at, objective in enumerate(self.objectives):
            loss = objective.loss(objective.represent(state), batch)  # type: ignore[operator]
            found[f"{at}:{type(objective).__name__}"] = self.objective_weights[at] * loss
        return found

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """What every head says of a batch."""
        state = self(batch)
        return {name: self.head(name).predict(state.fused, batch) for name in self.outputs}


def _stand_in(tokens: Tokens, token_D: Tensor) -> Tokens:
    """Rows without any token get one learned token in the first place."""
    absent_B = ~tokens.present_B
    first_BT = torch.zeros_like(tokens.mask_BT)
    first_BT = torch.cat([absent_B[:, None], first_BT[:, 1:]], 1)
    x_BTD = torch.where(first_BT[..., None], token_D.to(tokens.x_BTD.dtype), tokens.x_BTD)
    return Tokens(x_BTD, tokens.mask_BT | first_BT, tokens.grid, tokens.prefix, tokens.span_BT2)


def build(
    recipe: Recipe,
    facts: Mapping[str, Mapping[str, Any]],
    slots: Mapping[str, int],
    kept_files: Path | None = None,
) -> Network:
    """The network that a completed recipe describes, with fresh weights.

    Args:
        recipe: without any ``auto``.
        facts: ``in:NAME`` and ``out:NAME`` -> what its fitted transform gave.
        slots: input name -> number of slots.
        kept_files: folder of a bundle's preprocessing, from which checkpoints are rebuilt without their weights.
    """
    width = recipe.width
    assert isinstance(width, int)
    encoders = {name: _encoder(recipe, name, facts[f"in:{name}"], kept_files) for name in recipe.inputs}
    heads = {
        name: registry.head(o.head.name)(name=name, width=width, **facts[f"out:{name}"], **o.head.keywords)
        for name, o in recipe.outputs.items()
    }
    objectives = [
        (registry.objective(o.name)(list(recipe.inputs), width, **o.keywords), o.weight) for o in recipe.objectives
    ]
    part = recipe.fusion
    fusion = registry.fusion(part.name)(list(recipe.inputs), width, **part.keywords) if heads else None
    return Network(
        encoders,
        fusion,
        heads,
        objectives,
        width=width,
        slots=slots,
        weights={name: output.weight for name, output in recipe.outputs.items()},
        frozen=frozenset(name for name, item in recipe.inputs.items() if item.transfer == "frozen"),
        missing=recipe.training.missing,
        modality_dropout=float(recipe.training.modality_dropout),
    )


def _encoder(recipe: Recipe, name: str, facts: Mapping[str, Any], kept_files: Path | None) -> nn.Module:
    item = recipe.inputs[name]
    made = registry.encoder(item.modality, item.encoder.name)  # type: ignore[arg-type]
    keywords = item.encoder.keywords
    if kept_files is not None and hasattr(made, "restored"):
        keywords = {**keywords, **made.restored(kept_files / f"in_{list(recipe.inputs).index(name)}")}
    encoder = made(**facts, **keywords)
    if item.transfer == "lora":
        inject(encoder)
    return encoder
