"""What every fusion must hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.layers.readout import Readout
from polyfuse.records import Fused, Tokens
from polyfuse.testing.onnx import same_in_onnx
from polyfuse.testing.run import run_all

WIDTH = 16
DRAWS = 25  # subsets of inputs that are tried


class Case:
    """One fusion under test.

    Args:
        made: its class, or what makes one.
        keywords: its own, where it is not tested as it is by default.
    """

    def __init__(self, made: Callable[..., Any], keywords: Mapping[str, Any] | None = None):
        self.made, self.keywords = made, dict(keywords or {})

    def make(self, count: int, seed: int = 0) -> Any:
        """A fresh one of ``count`` inputs, the same for the same seed."""
        torch.manual_seed(seed)
        return self.made([f"i{m}" for m in range(count)], WIDTH, **self.keywords)


def tokens(lengths: Sequence[int], present_BM: Tensor, seed: int = 0) -> dict[str, Tokens]:
    """Inputs of those lengths; each row's real tokens fill a random part of T, absent inputs none of it."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for m, (length, present_B) in enumerate(zip(lengths, present_BM.T, strict=True)):
        x = torch.randn(len(present_BM), length, WIDTH, generator=draw)
        span = torch.rand(len(present_BM), length, 2, generator=draw)
        real_B = torch.randint(1, length + 1, (len(present_BM), 1), generator=draw) * present_B[:, None]
        found[f"i{m}"] = Tokens(x, torch.arange(length) < real_B, grid=(length,), prefix=m % 2, span_BT2=span)
    return found


def summary(fused: Fused) -> Tensor:
    """All that a fusion gives, summed over real tokens: (B, D and D per input)."""
    each = [fused.tokens, *fused.by_input.values()]
    return torch.cat([(t.x_BTD * t.mask_BT[..., None]).sum(1) for t in each], -1)


def check_fusion(made: Callable[..., Any], keywords: Mapping[str, Any] | None = None, *, onnx: bool = False) -> None:
    """Check that a class is a fusion as the model needs it.

    Args:
        made: the class.
        keywords: its own, where it is not checked as it is by default.
        onnx: also that it gives the same in ONNX; that takes seconds, and the extras ``export`` and ``runtime``.

    Raises:
        AssertionError: something does not hold; names each check that failed.
    """
    run_all(made, Case(made, keywords), (*CHECKS, *ONNX_CHECKS) if onnx else CHECKS)


# ---- the contract


def says_what_it_is_and_takes(case: Case) -> None:
    """It has a line of description and a paper, and takes ``inputs``, ``width`` and keywords of its own."""
    parameters = list(inspect.signature(case.made).parameters.values())
    names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert names == ["inputs", "width"], f"expected (inputs, width, *, keywords), found {names}"
    assert (case.made.__doc__ or "").partition("\n")[0].strip(), "expected a docstring, whose first line is listed"
    assert isinstance(getattr(case.made, "paper", None), str), "expected paper, a string, which may be empty"


def finite_with(case: Case, lengths: Sequence[int], present: Sequence[Sequence[bool]]) -> None:
    """Inputs of these lengths, present or not in each row, give finite tokens and keep their form."""
    fusion = case.make(len(lengths))
    given = tokens(lengths, torch.tensor(present))
    fused = fusion(given)
    assert fused.tokens.x_BTD.shape[0] == len(present), f"found {fused.tokens.x_BTD.shape[0]} rows of {len(present)}"
    assert fused.tokens.width == WIDTH, f"joint tokens are {fused.tokens.width} wide, expected {WIDTH}"
    assert torch.isfinite(fused.tokens.x_BTD).all(), f"lengths {lengths}, present {present}: not finite"
    assert list(fused.by_input) == list(given), f"by_input holds {list(fused.by_input)}, expected {list(given)}"
    for key, before in given.items():
        after = fused.by_input[key]
        assert after.x_BTD.shape == before.x_BTD.shape, f"by_input: {key} has another shape"
        assert torch.equal(after.mask_BT, before.mask_BT), f"by_input: {key} has another mask"
        assert (after.grid, after.prefix) == (before.grid, before.prefix), f"by_input: {key} has another grid"
        assert after.span_BT2 is not None
        assert before.span_BT2 is not None
        assert torch.equal(after.span_BT2, before.span_BT2), f"by_input: {key} has other spans"
        assert torch.isfinite(after.x_BTD[after.mask_BT]).all(), f"by_input: {key} is not finite"


def any_subset_of_one_to_five_inputs_gives_finite_tokens(case: Case) -> None:
    """One to five inputs of any lengths, any subset of them missing in a row, give finite tokens."""
    draw = torch.Generator().manual_seed(0)
    for _ in range(DRAWS):
        count, rows = (int(torch.randint(1, most + 1, (), generator=draw)) for most in (5, 4))
        lengths = torch.randint(1, 8, (count,), generator=draw).tolist()
        finite_with(case, lengths, (torch.rand(rows, count, generator=draw) < 0.6).tolist())


def every_parameter_is_trained(case: Case, lengths: Sequence[int] | None = None) -> None:
    """Every parameter gets a gradient within two steps, through what heads read."""
    for own in [lengths] if lengths else ([3], [3, 2], [3, 2, 4, 2, 5]):
        fusion, read = case.make(len(own)), Readout(WIDTH, 3)
        if not list(fusion.parameters()):
            continue  # its heads learn
        # 16 rows, some with several real tokens of every input: the softmax over a single one trains nothing
        batch = tokens(own, torch.ones(16, len(own), dtype=torch.bool))
        optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
        trained = set()
        for _ in range(2):  # a gate that starts closed opens in the first
            optimizer.zero_grad()
            read(fusion(batch).tokens).pow(2).sum().backward()
            trained |= {n for n, p in fusion.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
            optimizer.step()
        untrained = {n for n, _ in fusion.named_parameters()} - trained
        # a shift of all keys changes no softmax
        left = {n for n in untrained if not n.endswith("key.bias")}
        assert left == set(), f"{len(own)} inputs: untrained {sorted(left)}"


def every_tensor_that_trains_is_registered(case: Case) -> None:
    """No parameter or module lies in a plain list, where it would be neither trained nor saved."""
    fusion = case.make(2)
    known = {id(p) for p in fusion.parameters()}
    for module in fusion.modules():
        for name, value in vars(module).items():
            items = value if isinstance(value, (list, tuple)) else [value]
            lost = [item for item in items if isinstance(item, nn.Parameter) and id(item) not in known]
            assert not lost, f"{name} holds a parameter that is not registered"
            hidden = isinstance(value, (list, tuple)) and any(isinstance(item, nn.Module) for item in items)
            assert not hidden, f"{name} holds modules in a plain list: expected nn.ModuleList"


def a_row_does_not_see_its_neighbours_nor_padding(case: Case) -> None:
    """Other rows, padding and what stands in absent inputs change nothing."""
    present = torch.tensor([[True, True, False], [True, False, True], [False, False, False]])
    fusion = case.make(3).eval()
    whole = tokens([4, 3, 2], present)
    everything = summary(fusion(whole))
    for row in range(3):
        alone = {k: Tokens(t.x_BTD[row:][:1], t.mask_BT[row:][:1]) for k, t in whole.items()}
        torch.testing.assert_close(summary(fusion(alone))[0], everything[row], atol=1e-5, rtol=1e-4)
    padded = {}
    for k, t in whole.items():
        x = torch.where(t.mask_BT[..., None], t.x_BTD, 9.0)
        padded[k] = Tokens(torch.cat([x, torch.full((3, 2, WIDTH), 9.0)], 1), nn.functional.pad(t.mask_BT, (0, 2)))
    torch.testing.assert_close(summary(fusion(padded)), everything, atol=1e-5, rtol=1e-4)


def evaluation_is_deterministic_and_survives_saving(case: Case) -> None:
    """In eval mode the same tokens give the same result, and so does another one with the same ``state_dict``."""
    present = torch.ones(3, 2, dtype=torch.bool)
    fusion, copy = case.make(2).eval(), case.make(2, seed=1).eval()
    copy.load_state_dict(fusion.state_dict())
    batch = tokens([4, 3], present)
    assert torch.equal(summary(fusion(batch)), summary(fusion(batch)))
    assert torch.equal(summary(fusion(batch)), summary(copy(batch)))


def bf16_autocast_is_finite(case: Case) -> None:
    """Under bfloat16 autocast tokens are finite."""
    with torch.autocast("cpu", torch.bfloat16):
        fused = case.make(2)(tokens([4, 3], torch.tensor([[True, True], [False, False]])))
    assert torch.isfinite(fused.tokens.x_BTD).all()


class _Plain(nn.Module):
    def __init__(self, fusion: nn.Module):
        super().__init__()
        self.fusion = fusion

    def forward(self, parts: dict[str, list[Tensor]]) -> Tensor:
        return self.fusion({key: Tokens(x, mask) for key, (x, mask) in parts.items()}).tokens.x_BTD


@torch.no_grad()  # of use only without gradients, and many times faster to trace
def exports_with_any_batch_and_length(case: Case) -> None:
    """``torch.export`` takes it with any number of rows and any lengths."""
    plain = _Plain(case.make(2).eval())
    batch, first, second = (torch.export.Dim(n, min=1, max=64) for n in ("batch", "first", "second"))
    dims = {f"i{m}": [{0: batch, 1: length}, {0: batch, 1: length}] for m, length in enumerate((first, second))}

    def parts(rows: int, lengths: Sequence[int]) -> dict[str, list[Tensor]]:
        made = tokens(lengths, torch.ones(rows, 2, dtype=torch.bool), seed=rows)
        return {key: [t.x_BTD, t.mask_BT] for key, t in made.items()}

    program = torch.export.export(plain, (parts(3, [5, 4]),), dynamic_shapes=(dims,)).module()
    for rows, lengths in ((1, [5, 4]), (2, [1, 7]), (7, [6, 2])):
        sample = parts(rows, lengths)
        torch.testing.assert_close(program(sample), plain(sample), atol=1e-5, rtol=1e-4)


class _Named(nn.Module):
    """Tokens and masks by name -> the joint tokens and those of each input, what is masked being 0."""

    def __init__(self, fusion: nn.Module):
        super().__init__()
        self.fusion = fusion

    def forward(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        fused = self.fusion({f"i{m}": Tokens(given[f"x{m}"], given[f"mask{m}"]) for m in range(len(given) // 2)})
        named = {"": fused.tokens, **fused.by_input}
        return {f"fused{name}": t.x_BTD * t.mask_BT[..., None] for name, t in named.items()}


def runs_in_onnx_with_any_subset(case: Case) -> None:
    """In ONNX it gives what it gives in torch, at 1, 2 and 7 rows of any lengths, any subset of inputs missing."""

    def given(lengths: Sequence[int], present: Sequence[Sequence[bool]]) -> dict[str, Tensor]:
        made = tokens(lengths, torch.tensor(present), seed=len(present)).values()
        return {k: v for m, t in enumerate(made) for k, v in ((f"x{m}", t.x_BTD), (f"mask{m}", t.mask_BT))}

    subsets = [[True, True], [True, False], [False, True], [False, False]]
    asked = [given([5, 4], [row]) for row in subsets]
    asked += [given([1, 7], subsets[1:3]), given([6, 2], [*subsets, *subsets[:3]])]
    whole = [[True, True]] * 3
    same_in_onnx(_Named(case.make(2).eval()), given([5, 4], whole), given([6, 7], whole), asked, str(case.made))


CHECKS = (
    says_what_it_is_and_takes,
    any_subset_of_one_to_five_inputs_gives_finite_tokens,
    every_parameter_is_trained,
    every_tensor_that_trains_is_registered,
    a_row_does_not_see_its_neighbours_nor_padding,
    evaluation_is_deterministic_and_survives_saving,
    bf16_autocast_is_finite,
    exports_with_any_batch_and_length,
)
ONNX_CHECKS = (runs_in_onnx_with_any_subset,)
