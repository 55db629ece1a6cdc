"""What a preset stands for: encoders by modality and rows, what is not installed, and what contradicts it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import polyfuse
from polyfuse.recipe import RecipeError, defaults, parse, presets
from polyfuse.starter.package_files import StarterError


def recipe(modality: str, preset: str = "auto", head: str = "auto", **item):
    output = {"column": "y", "head": {"name": head}}
    values = {"inputs": {"x": {"columns": ["x"], "modality": modality, **item}}, "outputs": {"y": output}}
    return parse({**values, "preset": preset})


def names(rows: int, *arguments, **item) -> list[str]:
    made, _ = defaults.fill_encoders(recipe(*arguments, **item), rows)
    return [reader.part.name for reader in made.readers.values()]


def absent(part):
    raise StarterError(f"{part.package} is not installed: {part.install}")


@pytest.mark.parametrize("modality", ["text", "image", "audio", "columns", "vector", "sequence"])
@pytest.mark.parametrize("rows", [20, 3000, 50_000])
def test_scratch_takes_nothing_pretrained(modality, rows):
    assert not presets.KNOWING & set(names(rows, modality, "scratch"))


def test_auto_is_starter_where_its_parts_are_here():
    made, notes = defaults.fill_encoders(recipe("text"), 100)
    assert made.preset == "starter"
    assert notes == []
    assert [e.name for e in made.inputs["x"].encoders] == ["ngrams", "universal"]
    assert made.readers["x+universal"].transfer == "frozen"


@pytest.mark.parametrize("preset", ["plain", "scratch", "starter"])
@pytest.mark.parametrize("rows", [20, 50_000])
def test_what_is_written_about_keeps_its_order_and_places(preset, rows):
    for modality in ("text", "image", "audio"):
        made, _ = defaults.fill_encoders(recipe(modality, preset, head="text"), rows)
        assert not {"ngrams", "statistics"} & {reader.part.name for reader in made.readers.values()}
        assert all(reader.cache != "pooled" and reader.fused for reader in made.readers.values())


def test_where_a_part_is_absent_auto_learns_from_scratch_and_says_so(monkeypatch):
    monkeypatch.setattr(presets, "verified_files", absent)
    made, notes = defaults.fill_encoders(recipe("image"), 100)
    assert made.preset == "scratch"
    assert "efficientnet_lite" not in [e.name for e in made.inputs["x"].encoders]
    assert any("pip install" in note for note in notes)


def test_an_absent_part_is_an_error_where_the_preset_was_asked_for(monkeypatch):
    monkeypatch.setattr(presets, "verified_files", absent)
    with pytest.raises(RecipeError, match=r"preset starter: .*pip install.*--preset scratch"):
        defaults.fill_encoders(recipe("text", "starter"), 100)


def test_absent_parts_do_not_matter_to_columns(monkeypatch):
    monkeypatch.setattr(presets, "verified_files", absent)
    assert defaults.fill_encoders(recipe("columns", "starter"), 100)[1] == []


def test_best_goes_on_without_the_hub_and_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    made, notes = defaults.fill_encoders(recipe("text", "best"), 100)
    assert "universal" in [e.name for e in made.inputs["x"].encoders]
    assert any(presets.BEST["text"].name in note and "cannot be reached" in note for note in notes)


@pytest.mark.parametrize(
    ("modality", "preset", "limit"),
    [("image", "scratch", 500), ("image", "auto", 2000), ("audio", "scratch", 1000), ("audio", "auto", 1000)],
)
def test_from_some_rows_on_a_net_from_scratch_reads_media_and_the_fusion_sees_it_alone(modality, preset, limit):
    few, many = (defaults.fill_encoders(recipe(modality, preset), rows)[0].readers for rows in (limit - 1, limit))
    own = presets.SCRATCH[modality]
    assert own not in [reader.part.name for reader in few.values()]
    assert all(reader.fused for reader in few.values())
    assert [reader.part.name for reader in many.values() if reader.fused] == [own]
    assert "statistics" in [reader.part.name for reader in many.values()]


def test_a_named_encoder_stays_under_any_preset():
    assert names(100, "text", "best", encoder="gru") == ["gru"]


def test_scratch_beside_a_pretrained_encoder_is_a_contradiction():
    with pytest.raises(RecipeError, match=r"preset scratch: .*universal"):
        defaults.fill_encoders(recipe("text", "scratch", encoder=["ngrams", "universal"]), 100)


def test_an_unknown_preset_is_named():
    with pytest.raises(RecipeError, match=r"preset: .*'starter'.*found 'starters'"):
        recipe("text", "starters")


def test_another_preset_than_that_of_a_saved_model_is_a_contradiction(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "y": rng.normal(size=60)})
    quick = ["training.steps=2", "ensemble.members=[]"]
    polyfuse.fit(table, outputs=["y"], preset="scratch", to=tmp_path / "m", settings=quick, quiet=True)
    with pytest.raises(RecipeError, match="--preset best: the recipe was made with preset scratch"):
        polyfuse.fit(str(tmp_path / "m"), table=table, preset="best", quiet=True)
