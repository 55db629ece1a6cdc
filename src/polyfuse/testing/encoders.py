"""What every encoder must hold, on fields made by hand in the form that its transform gives."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.contracts import CanBeMasked, GivesFeatures, Rebuilds, offers, says
from polyfuse.layers.features import Bag
from polyfuse.records import Spec, Tokens
from polyfuse.testing.onnx import same_in_onnx
from polyfuse.testing.run import run_all

VOCABULARY, GRAMS = 40, 50
MOST_KEYWORDS = 7


@dataclass(frozen=True)
class Sample:
    """Cells of a transform, made up.

    Args:
        cell: length and generator -> the fields of one cell of that length, without the leading axis of a batch.
        facts: what a fitted transform gives to the encoder.
        free: field -> names of its axes, behind that of the batch, that differ between cells; the first of them grows
            with a cell's length, and such transforms give ``lengths`` too.
        stretch: entries of that axis per unit of length.
    """

    cell: Callable[[int, torch.Generator], dict[str, Tensor]]
    facts: dict[str, Any] = field(default_factory=dict)
    free: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stretch: int = 1

    def fields(self, lengths: Sequence[int], extra: int = 0) -> dict[str, Tensor]:
        """Cells of these lengths, padded to the longest and ``extra`` beyond; each depends on its place and length."""
        cells = [self.cell(n, torch.Generator().manual_seed(100 * at + n)) for at, n in enumerate(lengths)]
        longer = {key: extra * self.stretch * (key in self.free) for key in cells[0]}
        fields = {key: pad_cells([cell[key] for cell in cells], longer[key]) for key in cells[0]}
        if self.free:
            fields["lengths"] = torch.tensor(lengths) * self.stretch
        return fields

    def dims(self, fields: Mapping[str, Tensor]) -> dict[str, dict[int, Any]]:
        """The free axes of each field, for export."""
        batch, named = torch.export.Dim("batch", min=1, max=64), {"length": torch.export.Dim("length", min=1, max=32)}
        if self.stretch > 1:
            named["length"] = torch.export.Dim("samples", min=self.stretch // 2, max=32 * self.stretch)
        for name in {name for names in self.free.values() for name in names} - {"length"}:
            named[name] = torch.export.Dim(name, min=1, max=64)
        return {k: {0: batch, **{n: named[a] for n, a in enumerate(self.free.get(k, ()), 1)}} for k in fields}


def pad_cells(cells: Sequence[Tensor], extra: int) -> Tensor:
    """Cells in one tensor, zeros behind their ends and ``extra`` more."""
    shape = [max(cell.shape[axis] for cell in cells) for axis in range(cells[0].ndim)]
    out = cells[0].new_zeros(len(cells), *([shape[0] + extra, *shape[1:]] if shape else []))
    for row, cell in enumerate(cells):
        inside: Any = (row, *map(slice, cell.shape))
        out[inside] = cell
    return out


def _spans(length: int) -> Tensor:
    return torch.stack([torch.arange(length), torch.arange(length) + 1], -1)


def _ngrams(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    ids = torch.randint(1, GRAMS, (length, 1 + length), generator=draw)
    bag = {
        "bag_ids": torch.randint(1, GRAMS, (length + 2,), generator=draw),
        "bag_weights": torch.rand(length + 2, generator=draw),
    }
    return {"ids": ids, "span": _spans(length), **bag}


def _words(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    ids, look = (torch.randint(1, GRAMS, (length, count), generator=draw) for count in (1 + length, 3))
    return {"ids": ids, "look": look, "span": _spans(length)}


def _stretches(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    return {"ids": torch.randint(1, GRAMS, (length, 1 + length), generator=draw), "span": _spans(length)}


def _subwords(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    return {"ids": torch.randint(5, VOCABULARY, (length,), generator=draw), "span": _spans(length)}


def _columns(length: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG001 - a row has no length
    categories = torch.stack([torch.randint(0, size, (), generator=draw) for size in (4, 3)])
    return {"numbers": torch.randn(3, generator=draw), "categories": categories}


def _pixels(length: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG001 - all pictures have one size
    return {"pixels": torch.randint(0, 256, (3, 32, 32), generator=draw).byte()}


def _frames(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    frames = torch.randint(0, 256, (length, 3, 16, 16), generator=draw).byte()
    return {"frames": frames, "times": torch.arange(length) / 4}


def _pairs(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    frames = torch.randint(0, 256, (length, 6, 16, 16), generator=draw).byte()
    return {"frames": frames, "times": torch.arange(length) / 4}


def _flow(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    motion = torch.randint(0, 256, (length, 2, 16, 16), generator=draw).byte()
    return {**_frames(length, draw), "motion": motion}


def _wave(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    return {"wave": torch.rand(length * 1600, generator=draw) - 0.5}


def _vector(length: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG001 - all vectors have one length
    return {"x": torch.randn(5, generator=draw)}


def _sequence(length: int, draw: torch.Generator) -> dict[str, Tensor]:
    return {"x": torch.randn(length, 5, generator=draw)}


COLUMNS = {
    "numbers": 3,
    "categories": [4, 3],
    "quantiles": [[-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0, -1.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]],
    "frequent": [[2, 3], [2]],
    "owners": [0, 1, 1],
    "flags": 0,
}
TEXT = {"ids": ("length",), "span": ("length",)}
CUT = {"ids": ("length", "grams"), "span": ("length",)}
SAMPLES = {
    "text.ngrams": Sample(_ngrams, {"buckets": GRAMS}, CUT | {"bag_ids": ("bag",), "bag_weights": ("bag",)}),
    "text.words": Sample(_words, {"buckets": GRAMS}, CUT | {"look": ("length",)}),
    "text.bpe": Sample(_subwords, {"vocabulary": VOCABULARY}, TEXT),
    "text.tokenizer": Sample(_subwords, {}, TEXT),
    "text.stretches": Sample(_stretches, {}, CUT),
    "image.pixels": Sample(_pixels, {"image_size": (32, 32)}),
    "video.frames": Sample(_frames, {"image_size": (16, 16)}, {"frames": ("length",), "times": ("length",)}),
    "video.pairs": Sample(_pairs, {"image_size": (16, 16)}, {"frames": ("length",), "times": ("length",)}),
    "video.flow": Sample(
        _flow, {"image_size": (16, 16)}, {"frames": ("length",), "motion": ("length",), "times": ("length",)}
    ),
    "audio.wave": Sample(_wave, {"rate": 16_000}, {"wave": ("length",)}, stretch=1600),
    "columns": Sample(_columns, COLUMNS),
    "vector": Sample(_vector, {"size": 5}),
    "sequence": Sample(_sequence, {"size": 5}, {"x": ("length",)}),
}


class Case:
    """One encoder under test.

    Args:
        made: its class.
        keywords: its own, where it is not tested as it is by default.
        sample: cells of its transform, where that is not one of the package.

    Raises:
        ValueError: no sample is known for its transform.
    """

    def __init__(self, made: Any, keywords: Mapping[str, Any] | None = None, sample: Sample | None = None):
        self.made = made
        self.keywords = dict(keywords or {})
        self.spec: Spec = self.made.wants(**self.keywords)
        if sample is None and self.spec.transform not in SAMPLES:
            raise ValueError(
                f"the checks know no cells of the transform {self.spec.transform!r}: give a sample of them"
            )
        self.sample = sample or SAMPLES[self.spec.transform]

    def encoder(self, seed: int = 0) -> Any:
        """A fresh one, the same for the same seed."""
        torch.manual_seed(seed)
        return self.made(**self.sample.facts, **self.keywords)

    def fields(self, lengths: Sequence[int] = (5, 2, 3), extra: int = 0) -> dict[str, Tensor]:
        """Fields of cells of these lengths; see ``Sample``."""
        return self.sample.fields(lengths, extra)


def check_encoder(
    made: type, keywords: Mapping[str, Any] | None = None, sample: Sample | None = None, *, onnx: bool = False
) -> None:
    """Check that a class is an encoder as the model needs it.

    Args:
        made: the class.
        keywords: its own, where it is not checked as it is by default.
        sample: made-up cells of its transform, where that is not one of the package.
        onnx: also that it gives the same in ONNX; that takes seconds, and the extras ``export`` and ``runtime``.

    Raises:
        AssertionError: something does not hold; names each check that failed.
    """
    run_all(made, Case(made, keywords, sample), (*CHECKS, *ONNX_CHECKS) if onnx else CHECKS)


def _fixed(encoder: nn.Module) -> bool:
    """Whether an encoder says that nothing of it is ever trained."""
    return says(encoder, "fixed")


def _everyone(rows: int) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


def _same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


# ---- the contract


def says_what_it_is_and_wants(case: Case) -> None:
    """It has a line of description and a paper, and ``wants`` takes the keywords of ``__init__`` but the facts."""
    wants = inspect.signature(case.made.wants).parameters
    init = {k: p for k, p in inspect.signature(case.made.__init__).parameters.items() if k != "self"}
    facts = case.sample.facts
    built = {"files"} if offers(case.made, Rebuilds) else set()
    own = {k: p.default for k, p in init.items() if k not in {*facts, *built}}
    assert {k: p.default for k, p in wants.items()} == own, f"wants takes {list(wants)}, __init__ {list(own)}"
    assert all(p.kind is p.KEYWORD_ONLY for p in [*wants.values(), *init.values()]), "expected keyword-only parameters"
    assert set(facts) <= set(init), f"__init__ lacks {sorted(set(facts) - set(init))}, which the transform gives"
    assert len(wants) <= MOST_KEYWORDS, f"expected {MOST_KEYWORDS} keywords at most, found {len(wants)}"
    assert isinstance(case.spec, Spec), f"wants gives {type(case.spec).__name__}, expected a Spec"
    inspect.signature(registry.transform(case.spec.transform)).bind(**case.spec.keywords)
    assert isinstance(getattr(case.made, "paper", None), str), "expected paper, a string, which may be empty"
    assert (case.made.__doc__ or "").partition("\n")[0].strip(), "expected a docstring, whose first line is listed"


def gives_tokens_of_its_width(case: Case) -> None:
    """It gives ``Tokens`` of shape (rows, length, ``width``) with a mask, and a grid that holds all of them."""
    encoder, fields = case.encoder(), case.fields()
    tokens = encoder(fields, _everyone(3))
    assert isinstance(tokens, Tokens), f"found {type(tokens).__name__}"
    rows, length, width = tokens.x_BTD.shape
    assert (rows, width) == (3, encoder.width), f"found {rows} rows of width {width}, expected 3 of {encoder.width}"
    assert length >= 1, "expected one token at least"
    assert tokens.mask_BT.shape == (rows, length), f"mask_BT is {tuple(tokens.mask_BT.shape)}"
    assert tokens.mask_BT.dtype is torch.bool, f"mask_BT is {tokens.mask_BT.dtype}, expected bool"
    assert tokens.present_B.all(), "a row that is present has no real token"
    assert tokens.span_BT2 is None or tokens.span_BT2.shape == (rows, length, 2), "span_BT2 has another shape"
    if tokens.grid:
        found = tokens.prefix + math.prod(tokens.grid)
        assert found == length, f"prefix and grid make {found} tokens, there are {length}"


def a_real_token_sees_neither_padding_nor_neighbours(case: Case) -> None:
    """Padding and other rows of a batch change no real token."""
    encoder = case.encoder().eval()
    tokens = encoder(case.fields(), _everyone(3))
    wider = encoder(case.fields(extra=4), _everyone(3))
    _same(wider.x_BTD[wider.mask_BT], tokens.x_BTD[tokens.mask_BT])
    assert torch.equal(wider.mask_BT.sum(1), tokens.mask_BT.sum(1)), "padding changes how many tokens are real"
    for row in range(3):
        alone = encoder({key: value[row:][:1] for key, value in case.fields().items()}, _everyone(1))
        _same(alone.x_BTD[alone.mask_BT], tokens.x_BTD[row][tokens.mask_BT[row]])


def an_absent_row_is_masked_and_changes_nothing(case: Case) -> None:
    """A row where ``present_B`` is False has no real token, is finite and changes no other row."""
    encoder, fields = case.encoder().eval(), case.fields()
    whole = encoder(fields, _everyone(3))
    tokens = encoder(fields, torch.tensor([True, False, True]))
    assert torch.equal(tokens.present_B, torch.tensor([True, False, True])), "an absent row has real tokens"
    assert torch.isfinite(tokens.x_BTD).all(), "an absent row brings what is not finite"
    for row in (0, 2):
        assert torch.equal(tokens.mask_BT[row], whole.mask_BT[row])
        _same(tokens.x_BTD[row][tokens.mask_BT[row]], whole.x_BTD[row][whole.mask_BT[row]])
    nobody = encoder(fields, ~_everyone(3))
    assert not nobody.mask_BT.any(), "absent rows have real tokens"
    assert torch.isfinite(nobody.x_BTD).all(), "a batch of absent rows is not finite"


def a_gradient_reaches_every_parameter_that_asks_for_one(case: Case) -> None:
    """Every parameter that requires a gradient gets one; freeze what no token depends on."""
    encoder = case.encoder().train()
    tokens = encoder(case.fields((5, 4, 3, 5, 6, 2)), _everyone(6))
    if _fixed(encoder):
        assert not any(p.requires_grad for p in encoder.parameters()), "it is fixed, and parameters ask for gradients"
        assert not tokens.x_BTD.requires_grad
        return
    torch.manual_seed(0)
    (tokens.x_BTD * torch.randn_like(tokens.x_BTD))[tokens.mask_BT].sum().backward()
    asking = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert asking, "nothing of it is trained: say fixed = True"
    without = [n for n, p in asking.items() if p.grad is None]
    assert without == [], f"without a gradient: {without}"
    assert all(torch.isfinite(p.grad).all() for p in asking.values() if p.grad is not None), "gradients are not finite"
    # a shift of all keys changes no softmax
    shifts = ("key.bias", "k_proj.bias")
    untrained = [n for n, p in asking.items() if p.grad is not None and not p.grad.any() and not n.endswith(shifts)]
    assert untrained == [], f"with a gradient of 0: {untrained}"


def everything_learnt_is_saved_and_evaluation_is_deterministic(case: Case) -> None:
    """In eval mode the same cells give the same tokens, and so does another one with the same ``state_dict``."""
    encoder, copy = case.encoder().eval(), case.encoder(seed=1).eval()
    copy.load_state_dict(encoder.state_dict())
    tokens = encoder(case.fields(), _everyone(3))
    for other in (encoder, copy):
        again = other(case.fields(), _everyone(3))
        assert torch.equal(again.x_BTD, tokens.x_BTD), "tokens differ"
        assert torch.equal(again.mask_BT, tokens.mask_BT), "masks differ"


def bf16_autocast_is_finite(case: Case) -> None:
    """Under bfloat16 autocast tokens and gradients are finite."""
    encoder = case.encoder().train()
    with torch.autocast("cpu", torch.bfloat16):
        tokens = encoder(case.fields(), torch.tensor([True, False, True]))
    assert torch.isfinite(tokens.x_BTD).all()
    if _fixed(encoder):  # nothing to train
        return
    tokens.x_BTD[tokens.mask_BT].float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def what_is_hidden_reaches_no_token_and_every_unit_has_its_own(case: Case) -> None:
    """Where it has ``masking``, cells that differ in what is hidden alone give the same tokens."""
    encoder, fields = case.encoder().eval(), case.fields()
    if not offers(case.made, CanBeMasked):
        return
    masking = encoder.masking()
    units = masking.units(fields)
    hidden = units.real_UN & (torch.arange(units.real_UN.shape[1]) % 2 == 0)
    one_fill, present = torch.full((masking.fill,), 0.3), _everyone(3)
    with torch.no_grad():
        plain = encoder(fields, present)
        one = encoder(masking.hide(fields, hidden, one_fill), present)
        assert not torch.equal(one.x_BTD, plain.x_BTD), "hiding changes no token"
        if masking.along:
            found, expected = one.x_BTD.shape[1] - one.prefix, units.real_UN.shape[1]
            assert found == expected, f"{found} tokens behind the prefix, expected one per unit: {expected}"
        if "wave" not in fields:  # the frames of a sound overlap, and are standardised as one
            others = masking.hide(fields, hidden, one_fill + 0.5)  # what is hidden holds something else
            _same(encoder(masking.hide(others, hidden, one_fill), present).x_BTD, one.x_BTD)
        else:
            two = encoder(masking.hide(fields, hidden, one_fill + 0.5), present)
            assert not torch.equal(one.x_BTD, two.x_BTD), "what stands in for the hidden changes no token"


def _dense(block: Tensor | Bag) -> Tensor:
    """A block of features as a matrix; what an id weighs twice adds up."""
    if isinstance(block, Tensor):
        return block
    assert block.ids_BK.shape == block.weights_BK.shape
    assert int(block.ids_BK.max()) < block.size
    return torch.zeros(len(block.ids_BK), block.size).scatter_add_(1, block.ids_BK, block.weights_BK)


def features_are_known_before_training(case: Case) -> None:
    """Where it has ``features``, these depend on the cell alone: on no weights, padding or neighbours."""
    encoder = case.encoder().eval()
    if not offers(encoder, GivesFeatures):
        return
    found = _dense(encoder.features(case.fields()))
    assert found.shape[0] == 3
    assert found.is_floating_point()
    assert torch.isfinite(found).all()
    assert not found.requires_grad
    assert torch.equal(_dense(case.encoder(seed=1).eval().features(case.fields())), found), "features follow weights"
    _same(_dense(encoder.features(case.fields(extra=4))), found)
    for row in range(3):
        alone = {key: value[row:][:1] for key, value in case.fields().items()}
        _same(_dense(encoder.features(alone)), found[row:][:1])


class _Plain(nn.Module):
    """The tensors of the tokens alone."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(fields, present_B)
        return tokens.x_BTD, tokens.mask_BT


@torch.no_grad()  # of use only without gradients, and many times faster to trace
def exports_with_any_batch_and_length(case: Case) -> None:
    """``torch.export`` takes it with any number of rows and any length of cells."""
    plain, fields = _Plain(case.encoder().eval()), case.fields()
    dims = case.sample.dims(fields)
    batch = dims[next(iter(dims))][0]
    program = torch.export.export(plain, (fields, _everyone(3)), dynamic_shapes=(dims, {0: batch})).module()
    for lengths in ((4,), (1, 2), (3, 2, 6, 1, 3, 3, 5)):
        sample = case.fields(lengths), _everyone(len(lengths))
        (x_BTD, mask_BT), (expected_BTD, expected_BT) = program(*sample), plain(*sample)
        assert torch.equal(mask_BT, expected_BT)
        _same(x_BTD[mask_BT], expected_BTD[mask_BT])


class _Named(nn.Module):
    """Fields and presence by name -> tokens by name, what is masked being 0."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens = self.encoder({key: t for key, t in given.items() if key != "present"}, given["present"])
        return {"tokens": tokens.x_BTD * tokens.mask_BT[..., None], "real": tokens.mask_BT}


def runs_in_onnx_with_any_batch_and_length(case: Case) -> None:
    """In ONNX it gives what it gives in torch, at 1, 2 and 7 rows of any length, some of them missing."""

    def given(lengths: Sequence[int], absent: Sequence[int] = ()) -> dict[str, Tensor]:
        present = torch.tensor([row not in absent for row in range(len(lengths))])
        return {**case.fields(lengths), "present": present}

    asked = [given((4,)), given((1, 2)), given((2,), (0,)), given((3, 2, 6, 1, 3, 3, 5), (1, 4))]
    same_in_onnx(_Named(case.encoder().eval()), given((5, 2, 3)), given((6, 2, 3)), asked, case.made.__name__)


CHECKS = (
    says_what_it_is_and_wants,
    gives_tokens_of_its_width,
    a_real_token_sees_neither_padding_nor_neighbours,
    an_absent_row_is_masked_and_changes_nothing,
    a_gradient_reaches_every_parameter_that_asks_for_one,
    everything_learnt_is_saved_and_evaluation_is_deterministic,
    bf16_autocast_is_finite,
    what_is_hidden_reaches_no_token_and_every_unit_has_its_own,
    features_are_known_before_training,
    exports_with_any_batch_and_length,
)
ONNX_CHECKS = (runs_in_onnx_with_any_batch_and_length,)
