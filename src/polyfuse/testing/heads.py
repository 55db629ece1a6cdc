"""What every head must hold, on targets made by hand."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse import registry
from polyfuse.contracts import (
    AnswersInTime,
    Portable,
    ReadsPicture,
    ReadsWords,
    Scores,
    ShowsAttention,
    Streams,
    Tempered,
    Writes,
    offers,
)
from polyfuse.data.cells.frame import Frame, PictureSize
from polyfuse.data.cells.media_files import is_picture_value, is_sound_value
from polyfuse.data.cells.source import Limits, Sound
from polyfuse.records import Batch, Cells, Fused, Spec, Tokens
from polyfuse.runtime.answers import FORMS
from polyfuse.testing.onnx import same_in_onnx
from polyfuse.testing.run import run_all

WIDTH, ROWS, LENGTH, MOST_KEYWORDS = 16, 8, 3, 7
SURE, PIXELS = 0.5, 0.98  # score of a box that is learnt, and share of pixels
SOUND, LEVELS = 1e-2, 40  # how far samples that are the same may lie apart, and pixels that are learnt
CELLS: dict[str, list[Any]] = {  # eight targets of each transform
    "target.category": ["a", "b", "c", "a", "b", "c", "a", "a"],
    "target.ordinal": [1, 2, 3, 1, 2, 3, 1, 1],
    "target.labels": [["a"], ["a", "b"], ["c"], ["b", "c"], ["a"], ["c"], ["a", "b", "c"], []],
    "target.text": ["one", "two", "three", "four", "five", ["six", "half a dozen"], "seven", "eight"],
    "target.image": [
        np.roll(np.tile(np.arange(8, dtype=np.uint8)[:, None] * 36, (1, 8)), shift, 0) for shift in range(ROWS)
    ],
    "target.audio": [
        Sound(np.sin(np.arange(400 + 100 * n, dtype=np.float32) * (0.2 + 0.1 * n)) / 2, 8000) for n in range(ROWS)
    ],
    "target.number": [1.0, 2.0, 4.0, 8.0, 3.0, 5.0, 9.0, 100.0],
    "target.tags": [  # tags, and the words beside them
        (
            ["I-A", "O", "B-B"][: 1 + n % 3] if n % 2 else ["O", "B-A", "I-A"],
            ["ein", "to", "tri"][: 1 + n % 3 if n % 2 else 3],
        )
        for n in range(ROWS)
    ],
    "target.events": [
        [{"start": 0.5 * (n % 3), "end": 0.5 * (n % 3) + 0.5, "label": "ab"[n % 2]}] * (n != 5) for n in range(ROWS)
    ],
}
TIMED = {"inputs": ["sound"]}  # keywords of a head that answers in time
SIDE, GRID = 16, (4, 4)  # of the pictures in whose pixels a head answers, and of their tokens
CELLS |= {  # boxes and masks, with the size of the picture beside them
    "target.boxes": [
        ([{"bbox": [n % 4 * 2, n // 4 * 4, 8, 9], "label": "ab"[n % 2]}] if n else [], PictureSize(SIDE, SIDE))
        for n in range(ROWS)
    ],
    "target.masks": [
        (np.repeat(np.arange(SIDE, dtype=np.uint8)[None] > 2 * n, SIDE, 0).astype(np.uint8), PictureSize(SIDE, SIDE))
        for n in range(ROWS)
    ],
}
WORDS = {"words": "text", "inputs": ["text"]}  # keywords of a head that answers word by word
PICTURE = {"picture": "photo", "input": "photo"}  # of a head that answers in pixels
POOLS = ("auto", "mean", "max", "attention")


class Case:
    """One head under test.

    Args:
        made: its class.
        keywords: its own, where it is not tested as it is by default.
        cells: eight targets, where its transform is not one of the package.

    Raises:
        ValueError: no targets are known for its transform.
    """

    def __init__(self, made: Any, keywords: Mapping[str, Any] | None = None, cells: Sequence[Any] | None = None):
        self.kind = made
        self.places = offers(made, ReadsPicture)
        beside = ((ReadsPicture, PICTURE), (ReadsWords, WORDS), (AnswersInTime, TIMED))
        known = next((words for kind, words in beside if offers(made, kind)), {})
        self.keywords = {**known, **(keywords or {})}
        wanted: str = self.kind.wants(**self.keywords).transform
        if cells is None and wanted not in CELLS:
            raise ValueError(f"the checks know no targets of the transform {wanted!r}: give eight cells")
        self.cells = list(CELLS[wanted] if cells is None else cells)

    def takes(self, keyword: str) -> bool:
        """Whether the head has a keyword of that name."""
        return keyword in inspect.signature(self.kind.wants).parameters

    def made(self, **keywords: Any) -> tuple[Any, Any]:
        """A head and the transform of its target, fitted; keywords that it does not have are left out."""
        torch.manual_seed(0)
        own = self.keywords | {key: value for key, value in keywords.items() if self.takes(key)}
        spec = self.kind.wants(**own)
        transform: Any = registry.transform(spec.transform)(**spec.keywords)
        transform.fit(self.cells, {"y": "y"}, Limits())
        if self.places:
            transform.see_as(Frame(SIDE, SIDE), "photo")
        return self.kind(name="y", width=WIDTH, **transform.facts(), **own), transform

    def targets(self, transform: Any, missing: Sequence[int] = ()) -> Batch:
        """A batch with the targets of all rows but the missing ones."""
        arrays = transform.encode(self.cells[:ROWS], Limits())
        index = torch.arange(ROWS)
        index[list(missing)] = -1
        fields = {key: torch.from_numpy(values) for key, values in transform.collate(arrays).items()}
        cells = {"y": Cells(fields, index[:, None])}
        return Batch({}, cells, torch.arange(ROWS), torch.ones(ROWS), own=self.own())

    def own(self, rows: int = ROWS) -> dict[str, Cells]:
        """Cells of the column of words or pictures, where the head reads one."""
        if self.places:
            fields = {"size": torch.tensor([[SIDE, SIDE, 1]])}
            return {"y": Cells(fields, torch.zeros(rows, 1, dtype=torch.int64))}
        if not offers(self.kind, ReadsWords):
            return {}
        spec = self.kind.own(**self.keywords)
        transform: Any = registry.transform(spec.transform)(**spec.keywords)
        arrays = transform.encode([words for _, words in self.cells[:rows]], Limits())
        fields = {key: torch.from_numpy(values) for key, values in transform.collate(arrays).items()}
        return {"y": Cells(fields, torch.arange(rows)[:, None])}

    def batch(self, rows: int = ROWS) -> Batch:
        """A batch of some rows without any target."""
        return replace(batch_without_targets(rows), own=self.own(rows))

    def fused(self, rows: int = ROWS, **keywords: Any) -> Fused:
        """A fused representation of some rows; with tokens that lie in a text or picture where a head needs them."""
        fused = random_fused(rows, **keywords)
        if offers(self.kind, AnswersInTime):
            half = torch.arange(LENGTH).expand(rows, LENGTH) / 2
            span_BT2 = torch.stack([half, half + 0.5], -1)
            return replace(fused, by_input={"sound": replace(fused.tokens, prefix=0, span_BT2=span_BT2)})
        if self.places:
            x = torch.randn(rows, GRID[0] * GRID[1], WIDTH, generator=torch.Generator().manual_seed(1))
            mask_BT = fused.tokens.mask_BT[:, :1].expand(x.shape[:2])
            return replace(fused, by_input={"photo": Tokens(x, mask_BT, grid=GRID)})
        if not offers(self.kind, ReadsWords):
            return fused
        places = 4 * torch.arange(LENGTH).expand(rows, LENGTH)
        span_BT2 = torch.stack([places, places + 2], -1)
        return replace(fused, by_input={"text": replace(fused.tokens, prefix=0, span_BT2=span_BT2)})


def random_fused(rows: int = ROWS, seed: int = 0, mask: Tensor | None = None, prefix: int = 0) -> Fused:
    """A fused representation of some rows."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, LENGTH, WIDTH, generator=draw)
    mask = torch.ones(rows, LENGTH, dtype=torch.bool) if mask is None else mask
    return Fused(Tokens(x, mask, prefix=prefix), {})


def batch_without_targets(rows: int = ROWS) -> Batch:
    """A batch of some rows without any target."""
    return Batch({}, {}, torch.arange(rows), torch.ones(rows))


def check_head(
    made: type, keywords: Mapping[str, Any] | None = None, cells: Sequence[Any] | None = None, *, onnx: bool = False
) -> None:
    """Check that a class is a head as the model needs it.

    Args:
        made: the class.
        keywords: its own, where it is not checked as it is by default.
        cells: eight targets to learn, where its transform is not one of the package.
        onnx: also that it answers the same from ONNX; that takes seconds, and the extras ``export`` and ``runtime``.

    Raises:
        AssertionError: something does not hold; names each check that failed.
    """
    run_all(made, Case(made, keywords, cells), (*CHECKS, *ONNX_CHECKS) if onnx else CHECKS)


def _scored(head: Any) -> bool:
    """Whether its answer comes from one vector of scores per row."""
    return offers(head, Scores)


def _writes(head: Any) -> bool:
    """Whether how it makes answers may be chosen anew for every prediction."""
    return offers(head, Writes)


def _streams(head: Any) -> bool:
    """Whether its texts can be read while they are written."""
    return offers(head, Streams)


def _same(values: Any, others: Any) -> bool:
    """Whether two lists of answers are the same; pictures and sounds but for what their numbers are rounded by."""
    return len(values) == len(others) and all(map(_alike, values, others))


def _alike(value: Any, other: Any) -> bool:
    if is_sound_value(value):
        one, two = (np.asarray(side["array"]) for side in (value, other))
        return one.shape == two.shape and bool(np.allclose(one, two, atol=SOUND))
    if is_picture_value(value):
        return value.shape == other.shape and bool((np.abs(value.astype(int) - other) <= 1).all())
    if _are_boxes(value) and _are_boxes(other):  # doubles of boxes that nothing was learnt of may fall either way
        return all(_same_box(one, two) for one, two in zip(value[:1], other[:1], strict=True))
    return bool(value == other)


def _are_boxes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) and "bbox" in one for one in value)


def _same_box(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two boxes are the same but for what their numbers are rounded by."""
    close = np.allclose(one["bbox"], other["bbox"], atol=0.02) and abs(one["score"] - other["score"]) < 1e-4
    return bool(one["label"] == other["label"] and close)


# ---- the contract


def says_what_it_is_and_wants(case: Case) -> None:
    """It has a line of description, a paper and a task with a judge; ``wants`` takes keywords of ``__init__``."""
    kind = case.kind
    wanted = inspect.signature(kind.wants).parameters
    taken = inspect.signature(kind.__init__).parameters
    assert isinstance(kind.wants(**case.keywords), Spec), "wants gives no Spec"
    assert len(wanted) <= MOST_KEYWORDS, f"expected {MOST_KEYWORDS} keywords at most, found {len(wanted)}"
    for key, parameter in wanted.items():
        assert key in taken, f"__init__ does not take {key}, which wants does"
        assert taken[key].default == parameter.default, f"{key} has two defaults"
    assert kind.task in registry.JUDGES, f"no judge of the task {kind.task!r}; known: {', '.join(registry.JUDGES)}"
    assert isinstance(getattr(kind, "paper", None), str), "expected paper, a string, which may be empty"
    assert (kind.__doc__ or "").partition("\n")[0].strip(), "expected a docstring, whose first line is listed"


def loss_falls_until_eight_rows_are_learnt_by_heart(case: Case) -> None:
    """Eight rows are learnt by heart within 200 steps, and predicted."""
    head, transform = case.made(dropout=0.0)
    fused, batch = case.fused(), case.targets(transform)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05 if _scored(head) else 0.01)
    head.eval()
    first = head.loss(fused, batch).mean().item()
    head.train()
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(fused, batch).mean().backward()
        optimizer.step()
    head.eval()
    loss = head.loss(fused, batch).mean()
    assert loss.item() < 0.05 * first, f"the loss fell from {first:.3g} to {loss.item():.3g} only"
    value = head.predict(fused, batch).value
    expected = transform.decode(transform.encode(case.cells[:ROWS], Limits()))
    if head.task == "text":  # any of several references
        hit = [said in ([true] if isinstance(true, str) else true) for said, true in zip(value, expected, strict=True)]
        assert all(hit), f"predicted {value}, expected {expected}"
    elif head.task == "image":
        apart = np.abs(np.stack(value).astype(float) - np.stack(expected)).mean()
        assert apart < LEVELS, f"pixels are off by {apart:.0f} levels"
    elif head.task == "boxes":
        assert _boxes_learnt(value, expected), f"predicted {value}, expected {expected}"
    elif head.task == "masks":
        share = np.mean([one == other for one, other in zip(value, expected, strict=True)])
        assert share > PIXELS, f"{share:.1%} of the pixels are right"
    elif head.task == "speech":
        said, true = ([len(sound["array"]) for sound in side] for side in (value, expected))
        assert np.allclose(said, true, rtol=0.3), f"samples of a sound: {said}, expected {true}"
    elif head.task == "number":
        close = np.isclose(value, expected, rtol=0.2, atol=1e-12)
        assert close.all(), f"predicted {value}, expected {expected}"
    else:
        assert value == expected, f"predicted {value}, expected {expected}"
    if not _scored(head):
        assert head.quality(fused, batch).shape == (ROWS,), "quality is no number per row"
        return
    quality = head.quality(head.scores(fused, batch), batch).mean()
    assert quality > (-0.01 if head.task == "number" else 0.99), f"quality is {quality:.3g} of rows known by heart"


def _boxes_learnt(value: list[list[Any]], expected: list[list[Any]]) -> bool:
    """Whether the best boxes of every row are the true ones, nearly to the pixel, and the others are unlikely."""
    for said, true in zip(value, expected, strict=True):
        sure = [box for box in said if box["score"] > SURE]
        pairs = zip(sure, true, strict=True) if len(sure) == len(true) else ()
        right = [
            one["label"] == other["label"] and np.allclose(one["bbox"], other["bbox"], atol=1) for one, other in pairs
        ]
        if len(right) < len(true) or len(sure) != len(true) or not all(right):
            return False
    return True


def missing_targets_have_no_loss_and_no_gradient(case: Case) -> None:
    """A row without a target has a loss of 0 and no gradient; the others have one each."""
    head, transform = case.made()
    head.eval()
    fused = case.fused()
    fused.tokens.x_BTD.requires_grad_()
    loss_B = head.loss(fused, case.targets(transform, missing=(0, 3)))
    assert loss_B.shape == (ROWS,), f"the loss is {tuple(loss_B.shape)}, expected one number per row"
    assert (loss_B[[0, 3]] == 0).all(), "rows without a target have a loss"
    assert (loss_B[[1, 2, 4, 5, 6, 7]] > 0).all(), "rows with a target have none"
    loss_B.sum().backward()
    assert fused.tokens.x_BTD.grad is not None
    gradient = fused.tokens.x_BTD.grad.flatten(1).abs().sum(1)
    assert ((gradient == 0) == (loss_B == 0)).all(), "rows without a target have a gradient"


def no_target_at_all_is_a_loss_of_zero(case: Case) -> None:
    """A batch without any target has a loss of 0, with gradients of 0."""
    head, transform = case.made()
    blank = {key: torch.from_numpy(values) for key, values in transform.collate([transform.blank()]).items()}
    cells = {"y": Cells(blank, torch.full((ROWS, 1), -1))}
    batch = Batch({}, cells, torch.arange(ROWS), torch.ones(ROWS), own=case.own())
    loss = head.loss(case.fused(), batch).sum()
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in head.parameters())


def a_row_depends_on_itself_alone(case: Case) -> None:
    """The loss of a row does not depend on the other rows."""
    head, transform = case.made()
    head.eval()
    all_B = head.loss(case.fused(), case.targets(transform))
    few_B = head.loss(case.fused(), case.targets(transform, missing=(1, 2)))
    assert torch.equal(all_B[[0, 3, 4]], few_B[[0, 3, 4]])


def parts_of_loss_and_prediction_are_the_whole(case: Case) -> None:
    """``loss`` is ``loss_of`` its ``scores``, and ``predict`` is ``decode`` of them, where it has any."""
    head, transform = case.made()
    head.eval()
    fused, batch = case.fused(), case.targets(transform)
    if not _scored(head):
        assert head.predict(fused, batch).scores is None, "expected no scores of a head without"
        return
    scores = head.scores(fused, batch)
    assert scores.shape[0] == ROWS
    assert torch.equal(head.loss(fused, batch), head.loss_of(scores, batch))
    assert head.predict(fused, batch).value == head.decode(scores).value
    assert torch.equal(head.predict(fused, batch).scores, scores)
    assert head.quality(scores, batch).shape == (ROWS,)


def masked_tokens_change_nothing_and_empty_rows_are_finite(
    case: Case, pools: Sequence[str] = POOLS, prefixes: Sequence[int] = (0, 1)
) -> None:
    """What stands in masked tokens changes no score, and a row without any token has finite ones."""
    for pool in pools if case.takes("pool") else pools[:1]:
        for prefix in prefixes:
            head, _ = case.made(pool=pool)
            head.eval()
            mask = torch.ones(ROWS, LENGTH, dtype=torch.bool)
            mask[:, 2], mask[0] = False, False
            fused, other = case.fused(mask=mask, prefix=prefix), case.fused(mask=mask, prefix=prefix)
            other.tokens.x_BTD[~mask] = 7.0
            if not _scored(head):
                one, same = (head.predict(f, case.batch()) for f in (fused, other))
                assert _same(one.value, same.value), f"pool {pool}: masked tokens are read"
                assert all(np.allclose(one.extra[key], same.extra[key]) for key in one.extra)
                continue
            scores = head.scores(fused, None)
            assert torch.isfinite(scores).all(), f"pool {pool}, prefix {prefix}: not finite"
            assert torch.allclose(scores, head.scores(other, None)), f"pool {pool}: masked tokens are read"
            assert not torch.allclose(scores[0], scores[1]), f"pool {pool}: an empty row scores as a full one"


def every_parameter_gets_a_gradient(case: Case, pools: Sequence[str] = ("auto", "attention")) -> None:
    """Every parameter gets a gradient."""
    for pool in pools if case.takes("pool") else pools[:1]:
        head, transform = case.made(pool=pool)
        head.loss(case.fused(), case.targets(transform)).sum().backward()
        without = [key for key, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert without == [], f"pool {pool}: without a gradient {without}"


def predictions_survive_saving(case: Case) -> None:
    """Another head with the same ``state_dict`` predicts the same."""
    head, _ = case.made()
    nn.init.normal_(next(p for p in head.parameters() if p.ndim == 2))
    if offers(head, Tempered):
        head.set_temperature(2.5)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    again, _ = case.made()
    again.load_state_dict(torch.load(file))
    head.eval()
    again.eval()
    one, other = (
        head.predict(case.fused(), case.batch()),
        again.predict(case.fused(), case.batch()),
    )
    assert _same(one.value, other.value)
    assert not _scored(head) or torch.equal(one.scores, other.scores)
    assert all(np.array_equal(one.extra[key], other.extra[key]) for key in one.extra)


def predictions_have_an_entry_per_row(case: Case) -> None:
    """A prediction has one value, one row of scores and one entry of each extra per row."""
    head, _ = case.made()
    head.eval()
    found = head.predict(case.fused(5), case.batch(5))
    assert len(found.value) == 5
    assert not _scored(head) or len(found.scores) == 5
    assert all(len(entry) == 5 for entry in found.extra.values())


class _Scores(nn.Module):
    """``scores`` as a forward pass of plain tensors."""

    def __init__(self, head: Any):
        super().__init__()
        self.head = head

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        return self.head.scores(Fused(Tokens(x_BTD, mask_BT), {}), None)


@torch.no_grad()  # of use only without gradients, and many times faster to trace
def scores_export_for_any_batch_and_length(case: Case, pools: Sequence[str] = ("auto", "max", "attention")) -> None:
    """``torch.export`` takes ``scores`` with any number of rows and tokens."""
    for pool in (pools if case.takes("pool") else pools[:1]) if _scored(case.kind) else ():
        head, _ = case.made(pool=pool)
        module = _Scores(head).eval()
        batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
        example = case.fused().tokens
        shapes = ({0: batch, 1: length}, {0: batch, 1: length})
        exported = torch.export.export(module, (example.x_BTD, example.mask_BT), dynamic_shapes=shapes).module()
        for rows, tokens in ((1, 1), (2, 5), (7, 3)):
            x, mask = torch.randn(rows, tokens, WIDTH), torch.rand(rows, tokens) < 0.5
            assert torch.allclose(exported(x, mask), module(x, mask), atol=1e-5)


class _Named(nn.Module):
    """Joint tokens by name -> scores by name."""

    def __init__(self, head: Any):
        super().__init__()
        self.head = head

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self.head.scores(Fused(Tokens(given["x"], given["mask"]), {}), None)}


def answers_from_onnx(case: Case) -> None:
    """Where it has scores: at 1, 2 and 7 rows they are the same in ONNX, and read without torch as it reads them."""
    head, _ = case.made()
    what = case.kind.__name__
    if not _scored(head):
        return
    assert offers(case.kind, Portable), "it has scores and no portable(): a model with it cannot be exported"
    samples = []
    for rows, length in ((3, 4), (3, 6), (1, 1), (2, 5), (7, 3)):
        draw = torch.Generator().manual_seed(rows)
        x, mask = torch.randn(rows, length, WIDTH, generator=draw), torch.rand(rows, length, generator=draw) < 0.5
        samples.append({"x": x, "mask": mask})
    same_in_onnx(_Named(head.eval()), samples[0], samples[1], samples[2:], what)
    told = head.portable()
    values, answer = FORMS[told["form"]]
    for sample in samples:
        scores_BC = _Named(head)(sample)["scores"].detach()
        wanted = head.decode(scores_BC).value
        found = [answer(row, told).value for row in values(scores_BC.numpy(), told)]
        alike = [np.isclose(a, b) if isinstance(b, float) else a == b for a, b in zip(found, wanted, strict=True)]
        assert all(alike), f"read without torch {found}, by the head {wanted}"


def bf16_autocast_keeps_losses_finite(case: Case) -> None:
    """Under bfloat16 autocast losses are finite, in float32, and scores decode."""
    head, transform = case.made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_B = head.loss(case.fused(), case.targets(transform))
    assert loss_B.dtype == torch.float32, f"the loss is {loss_B.dtype}, expected float32"
    assert torch.isfinite(loss_B).all()
    if _scored(head):
        assert head.decode(head.scores(case.fused(), None).bfloat16()).value
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert head.eval().predict(case.fused(), case.batch()).value


def _row_of(tokens: Tokens, row: int) -> Tokens:
    return Tokens(tokens.x_BTD[[row]], tokens.mask_BT[[row]], grid=tokens.grid, prefix=tokens.prefix)


def a_row_is_written_as_it_is_alone(case: Case) -> None:
    """What a head writes of a row does not depend on its neighbours, whether it takes the likeliest or draws."""
    head, _ = case.made()
    if not _writes(head):
        return
    head.eval()
    for options in ({}, {"beams": 3}, {"sample": True, "seed": 1}, {"steps": 3, "guidance": 2.0, "seed": 1}):
        try:
            head.writing(**options)
        except ValueError:
            continue  # not every head writes in every way
        together = head.predict(case.fused(), case.batch(), **options).value
        for row in range(ROWS):
            fused = case.fused()
            by_input = {name: _row_of(tokens, row) for name, tokens in fused.by_input.items()}
            own = Fused(_row_of(fused.tokens, row), by_input)
            said = head.predict(own, replace(case.batch(1), rows_B=torch.tensor([row])), **options).value
            assert _same(said, together[row : row + 1]), f"{options}: row {row} alone is {said}, else {together[row]!r}"
        if not _streams(head):
            continue
        seen = list(head.stream(case.fused(), case.batch(), **options))
        assert seen[-1] == together, f"{options}: what is streamed ends as {seen[-1]}, expected {together}"


def attention_is_shared_out(case: Case) -> None:
    """Where a head says what it looked at, the shares of a word sum to 1, and those of an absent input to 0."""
    head, _ = case.made()
    shows: Any = head if offers(head, ShowsAttention) else None
    if shows is None or not shows.attends:
        return
    head.eval()
    tokens, mask = case.fused().tokens, torch.ones(ROWS, LENGTH, dtype=torch.bool)
    mask[0], mask[1, 1:] = False, False
    one, other = Tokens(tokens.x_BTD, mask, grid=(LENGTH,)), Tokens(tokens.x_BTD.flip(1), ~tokens.mask_BT)
    fused = Fused(Tokens(tokens.x_BTD[:, :1], mask[:, :1]), {"one": one, "other": other})
    said = head.predict(fused, case.batch()).value
    for row, found in enumerate(shows.attended(fused, case.batch())):
        assert found.text == said[row], f"the text is {found.text!r}, predicted was {said[row]!r}"
        total_W = found.elsewhere_W + sum(look.total_W for look in found.by_input.values())
        assert np.allclose(total_W, float(mask[row].any()), atol=1e-5), f"row {row}: the shares sum to {total_W}"
        assert not found.by_input["other"].share_WT.any(), "an absent input was looked at"
        assert found.by_input["one"].share_WT.shape == (len(found.words), int(mask[row].sum()))


CHECKS = (
    says_what_it_is_and_wants,
    loss_falls_until_eight_rows_are_learnt_by_heart,
    missing_targets_have_no_loss_and_no_gradient,
    no_target_at_all_is_a_loss_of_zero,
    a_row_depends_on_itself_alone,
    parts_of_loss_and_prediction_are_the_whole,
    masked_tokens_change_nothing_and_empty_rows_are_finite,
    every_parameter_gets_a_gradient,
    predictions_survive_saving,
    predictions_have_an_entry_per_row,
    scores_export_for_any_batch_and_length,
    bf16_autocast_keeps_losses_finite,
    a_row_is_written_as_it_is_alone,
    attention_is_shared_out,
)
ONNX_CHECKS = (answers_from_onnx,)
