"""What a part is: every listed one offers what its kind must, and there is one way to ask for what it may offer."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import pytest
from torch import nn

import polyfuse
from polyfuse import contracts, registry
from polyfuse.contracts import KINDS, SAYINGS, Decides, Rebuilds, StandsIn, Tempered, check_offered, offers, says

PARTS = [("encoder", f"{m}:{n}", registry.encoder(m, n)) for m, table in registry.ENCODERS.items() for n in table]
PARTS += [("fusion", name, registry.fusion(name)) for name in [*registry.FUSIONS, *registry.FUSION_ALIASES]]
PARTS += [("head", name, registry.head(name)) for name in registry.HEADS]
PARTS += [("objective", name, registry.objective(name)) for name in registry.OBJECTIVES]


@pytest.mark.parametrize(("kind", "made"), [(k, m) for k, _, m in PARTS], ids=[f"{k}-{n}" for k, n, _ in PARTS])
def test_every_listed_part_offers_what_its_kind_must(kind, made):
    check_offered(kind, made)


def test_what_a_part_may_offer_is_found_on_classes_objects_and_aliases():
    decision = registry.fusion("decision")
    assert offers(decision, Decides)
    assert offers(decision(["a"], 4), Decides)
    assert offers(partial(decision, rule="mean"), Decides)
    assert says(partial(decision, rule="mean"), "wants_scores")
    assert not offers(registry.fusion("concat"), Decides)
    assert not offers(None, Decides)
    assert offers(registry.encoder("image", "pretrained"), Rebuilds)
    assert offers(registry.objective("impute"), StandsIn)
    assert [name for name in registry.HEADS if offers(registry.head(name), Tempered)] == ["category", "ordinal"]
    assert says(registry.objective("gradient_blending"), "sums_losses")
    assert says(registry.fusion("concat"), "query") is None
    with pytest.raises(KeyError):
        says(decision, "wants_score")


class Half(nn.Module):
    """Lacks nearly everything."""

    def loss(self):
        """No loss."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_part_lacks_is_named(kind):
    with pytest.raises(ValueError, match=f"Half is no {kind}: it has no"):
        check_offered(kind, Half)
    with pytest.raises(ValueError, match=r"torch\.nn\.Module"):
        check_offered(kind, str)


def asked(tree: ast.AST) -> list[str]:
    """Names that code looks for on something by ``hasattr`` or ``getattr``."""
    calls = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in ("hasattr", "getattr")
    ]
    return [call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)]


def test_there_is_one_way_to_ask_what_a_part_offers():
    kinds = [c for c in vars(contracts).values() if isinstance(c, type) and c.__module__ == contracts.__name__]
    names = {name for kind in kinds for name in contracts._methods(kind)} | set(SAYINGS)
    assert {"stand_ins", "restored", "scores", "watches"} <= names
    found = []
    root = Path(polyfuse.__file__).parent
    for file in root.rglob("*.py"):
        if root / "data" in file.parents:  # which knows no parts: a dataset has features too
            continue
        found += [(file.name, name) for name in asked(ast.parse(file.read_text(encoding="utf8"))) if name in names]
    assert found == []
