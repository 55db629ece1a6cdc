"""The network: encoders -> fusion -> heads, and the only place where they meet.

It owns what lies between the parts: the projection of each encoder to the model width, modality dropout, what stands in
for a missing input, and the heads that judge each input alone where a fusion or objective asks for their scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.contracts import Decides, ReadsAgain, Rebuilds, Scores, StandsIn, offers, says
from polyfuse.layers.join import Join, concat_tokens, hide_inputs, insert_stand_in
from polyfuse.layers.lora import inject
from polyfuse.layers.pooling import pool_tokens as mean_token
from polyfuse.layers.shared_space import Projection
from polyfuse.model.ensemble import Ensemble, MemberInputs
from polyfuse.recipe import InputRecipe, Recipe
from polyfuse.records import Batch, Cells, Fused, Prediction, State, Tokens


class Network(nn.Module):
    """Encoders, fusion, heads and objectives of one recipe.

    Args:
        encoders: reader name -> encoder.
        reads: input name -> its readers, whose tokens stand side by side; by default each reader is an input.
        fusion: None when there are no outputs, and no objective that needs it.
        heads: output name -> head.
        objectives: extra losses, each with its weight.
        width: D between encoders and heads.
        slots: reader name -> number of columns that share the encoder.
        weights: output name -> weight of its loss.
        space: projections of the inputs that an objective compares, by input name.
        dropouts: reader name -> dropout of what its encoder says; 0 by default.
        input_heads: output name -> a head of the same kind per input, which judges that input alone; empty where no
            fusion or objective ``wants_scores``, and without outputs whose head has none.
        frozen: readers whose encoder is never trained; they run in eval mode and without gradients.
        pooled: readers of which the fusion sees the mean token alone.
        aside: readers that the fusion does not see; they are for members of the ensemble.
        missing: ``mask``, or ``token`` for a learned visible token in place of an absent input.
        modality_dropout: input name -> probability of hiding it in a row from the fusion, in training; one always
            stays. ``dropout_share`` scales all of them while training goes on.

    Attributes:
        ensemble: who answers beside the network once all are trained, or None.
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
        reads: Mapping[str, Sequence[str]] | None = None,
        space: Mapping[str, nn.Module] | None = None,
        dropouts: Mapping[str, float] | None = None,
        input_heads: Mapping[str, list[nn.Module]] | None = None,
        frozen: frozenset[str] = frozenset(),
        pooled: frozenset[str] = frozenset(),
        aside: frozenset[str] = frozenset(),
        missing: str = "mask",
        modality_dropout: Mapping[str, float] | None = None,
    ):
        super().__init__()
        self.reads = {name: tuple(own) for name, own in (reads or {name: (name,) for name in encoders}).items()}
        self.inputs, self.readers, self.outputs = list(self.reads), list(encoders), list(heads)
        self.width, self.frozen, self.pooled = width, frozen, pooled
        self.fused = {name: tuple(r for r in own if r not in aside) for name, own in self.reads.items()}
        self.modality_dropout, self.dropout_share = dict(modality_dropout or {}), 1.0
        self.weights = dict(weights)
        # names of columns, such as `type` or `price.eur`, would break module dictionaries
        self.encoders = nn.ModuleDict({f"in_{n}": encoder for n, encoder in enumerate(encoders.values())})
        drop = dict(dropouts or {})
        joins: dict[str, nn.Module] = {}
        as_given = {says(head, "reads") for head in heads.values()} - {None}
        _check_widths(heads, self.fused, encoders)
        for n, (name, encoder) in enumerate(encoders.items()):
            if name not in aside:
                own: Any = encoder.width
                fixed, share = name in frozen, drop.get(name, 0.0)
                keep = any(name in self.fused[given] for given in as_given)
                joins[f"in_{n}"] = Join(own, width, slots[name], fixed=fixed, dropout=share, keep=keep)
        self.joins = nn.ModuleDict(joins)
        self.fusion = fusion
        self.heads = nn.ModuleDict({f"out_{n}": head for n, head in enumerate(heads.values())})
        self.objectives = nn.ModuleList(module for module, _ in objectives)
        self.objective_weights = [weight for _, weight in objectives]
        self.absent = (
            nn.Parameter(torch.randn(len(self.inputs), width) * 0.02) if missing == "token" and fusion else None
        )
        self.input_heads = nn.ModuleDict(
            {f"out_{n}": nn.ModuleList((input_heads or {}).get(name, [])) for n, name in enumerate(heads)}
        )
        self.space = nn.ModuleDict({f"in_{self.inputs.index(name)}": part for name, part in (space or {}).items()})
        self.ensemble: Ensemble | None = None
        for name in frozen:
            self.encoder(name).requires_grad_(False)
        if self.decides:  # it joins the scores of the inputs: the heads' own weights have no part in that
            self.heads.requires_grad_(False)

    @property
    def decides(self) -> bool:
        """Whether the fusion joins scores of the inputs instead of tokens."""
        return offers(self.fusion, Decides)

    @property
    def aligned(self) -> list[str]:
        """Inputs that have a vector in the shared space."""
        return [name for n, name in enumerate(self.inputs) if f"in_{n}" in self.space]

    def encoder(self, name: str) -> nn.Module:
        """The encoder of a reader."""
        return self.encoders[f"in_{self.readers.index(name)}"]

    def join(self, name: str) -> Join:
        """The projection of a reader's tokens to the model width."""
        return self.joins[f"in_{self.readers.index(name)}"]  # type: ignore[return-value]

    def head(self, name: str) -> Any:
        """The head of an output."""
        return self.heads[f"out_{self.outputs.index(name)}"]

    def input_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Input name -> what is trained of its encoder and projection."""
        return {
            name: [
                p for r in own for part in (self.encoder(r), self.join(r)) for p in part.parameters() if p.requires_grad
            ]
            for name, own in self.fused.items()
        }

    def train(self, mode: bool = True) -> Network:
        """Set training mode, except for frozen encoders, which stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.encoder(name).eval()
        return self

    def encode(self, batch: Batch) -> dict[str, Tokens]:
        """Each input's tokens at the model width, before dropout and missing tokens: (B, T_m, D)."""
        return {name: self.encode_input(name, batch) for name in self.inputs}

    def encode_input(self, name: str, batch: Batch) -> Tokens:
        """One input's tokens at the model width, those of several encoders side by side (B, T_m, D)."""
        return concat_tokens([self._encode_one(reader, batch.inputs[reader]) for reader in self.fused[name]])

    def _encode_one(self, reader: str, cells: Cells) -> Tokens:
        read = self.read(reader, cells)
        return self.join(reader)(read.fields, read.index_BK)

    def encode_frozen(self, batch: Batch) -> Batch:
        """Replace the cells that frozen encoders read by their tokens, so that several networks share them."""
        kept = {name: self.read(name, cells) for name, cells in batch.inputs.items() if name in self.frozen}
        return replace(batch, inputs={**batch.inputs, **kept})

    def read(self, name: str, cells: Cells) -> Cells:
        """One reader's cells as tokens of its encoder's own width; cells that are tokens already stay."""
        if isinstance(cells.fields, Tokens):
            return cells
        with torch.set_grad_enabled(torch.is_grad_enabled() and name not in self.frozen):
            tokens = self.encoder(name)(cells.fields, cells.present_U)
            return replace(cells, fields=mean_token(tokens) if name in self.pooled else tokens)

    def fuse(self, encoded: dict[str, Tokens], *, whole: bool = False) -> Fused | None:
        """Fusion of what is present: modality dropout in training, and what stands in for an input, happen here.

        Args:
            whole: without modality dropout.
        """
        if self.fusion is None:
            return None
        seen = encoded if whole else self._with_dropout(encoded)
        own = {
            name: Tokens(t.own_BTE, t.mask_BT, span_BT2=t.span_BT2) for name, t in seen.items() if t.own_BTE is not None
        }
        return replace(self.fusion(self._with_absent(seen)), own=own)

    def _with_dropout(self, encoded: dict[str, Tokens]) -> dict[str, Tokens]:
        chances = [self.modality_dropout.get(name, 0.0) * self.dropout_share for name in encoded]
        if not self.training or not any(chances) or len(encoded) < 2:
            return encoded
        present_BM = torch.stack([tokens.present_B for tokens in encoded.values()], 1)
        drawn_BM = torch.rand(present_BM.shape, device=present_BM.device)
        keep_BM = drawn_BM >= torch.tensor(chances, device=present_BM.device)
        # of the present inputs the one with the highest draw stays, so that no row is left with nothing
        stays_B = (drawn_BM * present_BM).argmax(1, keepdim=True)
        return hide_inputs(encoded, keep_BM.scatter(1, stays_B, True))

    def _with_absent(self, encoded: dict[str, Tokens]) -> dict[str, Tokens]:
        for objective in self.objectives:
            if offers(objective, StandsIn):
                guesses, known_B = objective.stand_ins(encoded)
                encoded = {name: _where(known_B, insert_stand_in(t, guesses[name]), t) for name, t in encoded.items()}
        if self.absent is None:
            return encoded
        return {
            n: insert_stand_in(tokens, token_D)
            for (n, tokens), token_D in zip(encoded.items(), self.absent, strict=True)
        }

    def forward(self, batch: Batch) -> State:
        """Batch -> State."""
        batch = self.encode_frozen(batch) if self.ensemble is not None else batch
        return self.fuse_and_score(self.encode(batch), batch)

    def member_inputs(self, batch: Batch) -> MemberInputs | None:
        """Inputs of the ensemble's members, where there is an ensemble."""
        return None if self.ensemble is None else self.ensemble.member_inputs(self, batch)

    def fuse_and_score(self, encoded: dict[str, Tokens], batch: Batch, heard: MemberInputs | None = None) -> State:
        """Fuse encoded inputs and score every output.

        Args:
            heard: what the ensemble read; asked for where it is not given.
        """
        state = State(encoded, self.fuse(encoded), shared=self.shared(encoded))
        for n, name in enumerate(self.outputs):
            alone = self.input_heads[f"out_{n}"]
            if len(alone):  # type: ignore[arg-type]
                state.by_input_scores[name] = self._scores_by_input(alone, encoded, batch)
            if self.decides:
                decide: Any = self.fusion
                state.scores[name] = decide.decide(state.by_input_scores[name], state.fused, self.head(name).combine)
            elif offers(self.head(name), Scores):
                state.scores[name] = self.head(name).scores(state.fused, batch)
        if self.ensemble is not None and not self.training:
            heard = heard or self.ensemble.member_inputs(self, batch)
            for name, own_BC in state.scores.items():
                state.scores[name] = self.ensemble.decide(name, own_BC, self.head(name), heard, batch)
        return state

    def shared(self, encoded: dict[str, Tokens]) -> dict[str, Tensor]:
        """Vectors of the aligned inputs in the shared space, (B, E) each."""
        return {name: self.space[f"in_{self.inputs.index(name)}"](encoded[name]) for name in self.aligned}

    def _scores_by_input(self, heads: Any, encoded: dict[str, Tokens], batch: Batch) -> dict[str, Tensor]:
        """Scores of each input alone; heads that only watch leave the encoders as they are."""
        watching = not self.decides and all(says(o, "watches") for o in _objectives_wanting_scores(self.objectives))
        found = {}
        for head, (name, tokens) in zip(heads, encoded.items(), strict=True):
            own = replace(tokens, x_BTD=tokens.x_BTD.detach()) if watching else tokens
            found[name] = head.scores(Fused(own, {}), batch)
        return found

    def losses(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Mean losses by name: ``out:NAME`` per output, ``NAME`` per objective. Their sum is trained."""
        return self.output_losses(state, batch) | self.objective_losses(self.represent(state, batch), batch)

    def represent(self, state: State, batch: Batch) -> list[Any]:
        """Compute what each objective takes of a state, row by row; those that read inputs again get the network."""
        return [
            objective.represent(objective.read_again(state, batch, self) if offers(objective, ReadsAgain) else state)  # type: ignore[operator]
            for objective in self.objectives
        ]

    def output_losses(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Mean loss of every output, each row on its own.

        Weights multiply the losses of rows, whose mean is over those that have the target and a weight: a batch of
        light rows moves the network less than one of heavy rows.
        """
        found = {}
        for name in self.outputs:
            head = self.head(name)
            weight_B = batch.weights_B * batch.outputs[name].present_B
            scored = name in state.scores
            loss_B = head.loss_of(state.scores[name], batch) if scored else head.loss(state.fused, batch)
            counts = (weight_B > 0).sum().clamp_min(1)
            found[f"out:{name}"] = self.weights[name] * (loss_B * weight_B).sum() / counts
        return found

    def objective_losses(self, represented: Sequence[Any], batch: Batch) -> dict[str, Tensor]:
        """Weighted loss of every objective, which may compare the rows of a batch with each other."""
        heads, found = {name: self.head(name) for name in self.outputs}, {}
        for at, (objective, what) in enumerate(zip(self.objectives, represented, strict=True)):
            loss = objective.loss(what, batch, heads)  # type: ignore[operator]
            found[f"{at}:{type(objective).__name__}"] = self.objective_weights[at] * loss
        return found

    def predict_output(
        self, name: str, state: State, batch: Batch, options: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Predict one output.

        Args:
            options: how a head that writes is to do so, over its own; see ``contracts.Writes``.
        """
        scores, head = state.scores.get(name), self.head(name)
        if scores is not None:
            return head.decode(scores)
        return head.predict(state.fused, batch, **(options or {}))

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Predict every output."""
        state = self(batch)
        return {name: self.predict_output(name, state, batch) for name in self.outputs}


def _check_widths(
    heads: Mapping[str, nn.Module], fused: Mapping[str, Sequence[str]], encoders: Mapping[str, nn.Module]
) -> None:
    """Whether heads that read an input as its encoder gives it can read vectors of that width.

    Raises:
        ValueError: no such input, one of several encoders, or one of another width.
    """
    for output, head in heads.items():
        if (name := says(head, "reads")) is None:
            continue
        if len(readers := fused.get(name, ())) != 1:
            what = f"{len(readers)} encoders that the fusion sees" if name in fused else "no such input"
            raise ValueError(f"output {output!r} reads input {name!r} as its encoder gives it, and there are {what}")
        found, wanted = encoders[readers[0]].width, says(head, "reads_width")
        if found != wanted:
            raise ValueError(
                f"output {output!r} reads input {name!r} as its encoder gives it, {wanted} numbers a token, and that "
                f"encoder gives {found}; expected the encoder of the same checkpoint"
            )


def _objectives_wanting_scores(parts: Iterable[nn.Module]) -> list[nn.Module]:
    """Objectives that want scores of each input alone."""
    return [part for part in parts if says(part, "wants_scores")]


def _where(rows_B: Tensor, one: Tokens, other: Tokens) -> Tokens:
    x_BTD = torch.where(rows_B[:, None, None], one.x_BTD, other.x_BTD)
    return replace(other, x_BTD=x_BTD, mask_BT=torch.where(rows_B[:, None], one.mask_BT, other.mask_BT))


def build(
    recipe: Recipe,
    facts: Mapping[str, Mapping[str, Any]],
    slots: Mapping[str, int],
    kept_files: Path | None = None,
    encoders: Mapping[str, nn.Module] | None = None,
) -> Network:
    """The network that a completed recipe describes, with fresh weights.

    Args:
        recipe: without any ``auto``.
        facts: ``in:NAME`` and ``out:NAME`` -> what its fitted transform gave.
        slots: reader name -> number of slots.
        kept_files: folder of a bundle's preprocessing, from which checkpoints are rebuilt without their weights.
        encoders: reader name -> an encoder that is there already; networks may share what none of them trains.
    """
    width = recipe.width
    assert isinstance(width, int)
    ready, readers = encoders or {}, recipe.readers
    files = {name: kept_files / f"in_{n}" if kept_files else None for n, name in enumerate(readers)}
    made = {n: ready[n] if n in ready else _encoder(i, facts[f"in:{n}"], files[n]) for n, i in readers.items()}
    own = {name: kept_files / f"out_{n}" if kept_files else None for n, name in enumerate(recipe.outputs)}
    heads = {name: _head(recipe, name, facts, own[name]) for name in recipe.outputs}
    objectives = [
        (registry.objective(o.name)(list(recipe.inputs), width, **o.keywords), o.weight) for o in recipe.extra_losses
    ]
    aligned = dict.fromkeys(name for module, _ in objectives for name in says(module, "aligns"))
    plain = recipe.space.model_dump(exclude={"pool", "input_dropout"})
    space = {name: Projection(width, **plain, pool=recipe.space.pooled_by(name)) for name in aligned}
    for module, _ in objectives:
        if offers(module, ReadsAgain):
            module.meet({name: made[own[0]] for name, own in _fused_readers(recipe).items()})
    part, fuses = recipe.fusion, bool(heads) or any(says(module, "fuses") for module, _ in objectives)
    fusion = registry.fusion(part.name)(list(recipe.inputs), width, **part.keywords) if fuses else None
    alone = _objectives_wanting_scores([*([fusion] if fusion else []), *(module for module, _ in objectives)])
    scored = [name for name, head in heads.items() if alone and offers(head, Scores)]
    input_heads = {name: [_head(recipe, name, facts) for _ in recipe.inputs] for name in scored}
    return Network(
        made,
        fusion,
        heads,
        objectives,
        width=width,
        slots=slots,
        weights={name: output.weight for name, output in recipe.outputs.items()},
        reads=recipe.reads,
        frozen=frozenset(name for name, item in readers.items() if item.transfer == "frozen"),
        pooled=frozenset(name for name, item in readers.items() if item.cache == "pooled"),
        aside=frozenset(name for name, item in readers.items() if not item.fused),
        space=space,
        dropouts={reader: recipe.space.input_dropout for name in aligned for reader in recipe.reads[name]},
        input_heads=input_heads,
        missing=recipe.training.missing,
        modality_dropout=_dropout(recipe),
    )


def _fused_readers(recipe: Recipe) -> dict[str, list[str]]:
    """Input -> its readers that the fusion sees."""
    readers = recipe.readers
    return {name: [reader for reader in own if readers[reader].fused] for name, own in recipe.reads.items()}


def _dropout(recipe: Recipe) -> dict[str, float]:
    """Input name -> probability of hiding it."""
    asked = recipe.training.modality_dropout
    assert asked != "auto"
    return dict(asked) if isinstance(asked, dict) else dict.fromkeys(recipe.inputs, float(asked))


def _head(
    recipe: Recipe, name: str, facts: Mapping[str, Mapping[str, Any]], kept_files: Path | None = None
) -> nn.Module:
    part, width = recipe.outputs[name].head, recipe.width
    made, keywords = registry.head(part.name), part.keywords
    if kept_files is not None and offers(made, Rebuilds):
        keywords = {**keywords, **made.restored(kept_files)}
    return made(name=name, width=width, **facts[f"out:{name}"], **keywords)


def _encoder(item: InputRecipe, facts: Mapping[str, Any], kept_files: Path | None) -> nn.Module:
    made = registry.encoder(item.modality, item.part.name)  # type: ignore[arg-type]
    keywords = item.part.keywords
    if kept_files is not None and offers(made, Rebuilds):
        keywords = {**keywords, **made.restored(kept_files)}
    encoder = made(**facts, **keywords)
    if item.transfer == "lora":
        inject(encoder)
    return encoder
