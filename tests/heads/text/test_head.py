"""The head ``text`` from a table to a file of texts, through the front door."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import polyfuse
from polyfuse.recipe import RecipeError

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FAST = (
    "width=32",
    "preset=plain",
    "training.batch_size=20",
    "training.learning_rate=0.005",
    "training.warmup=0.1",
    "inputs.image.encoder={name: vit, depth: 1, patch: 4, size: 16}",
    "inputs.image.augment=none",
)


def digits(rows: int = 60) -> pd.DataFrame:
    """Pictures of a number of bright squares, and what each is called in words, in one or two references."""
    rng = np.random.default_rng(0)
    found = []
    for n in range(rows):
        digit = n % 5
        pixels = rng.integers(0, 40, (16, 16)).astype(np.uint8)
        pixels[:, 3 * digit : 3 * digit + 3] = 255
        found.append(
            {
                "image": pixels,
                "hint": float(digit) if n % 3 else None,
                "caption": f"this is the digit {NAMES[digit]}",
                "both": [f"this is the digit {NAMES[digit]}", f"a {NAMES[digit]} in white"],
                "kind": "even" if digit % 2 == 0 else "odd",
                "split": "train" if n < rows - 10 else "val",
            }
        )
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def model():
    table = digits()
    options = {
        "inputs": ["image=image"],
        "split": "split",
        "settings": [*FAST, "training.epochs=60", "outputs.caption.head.decoder={name: transformer, depth: 1}"],
    }
    return polyfuse.fit(table[table.split == "train"].drop(columns="split"), outputs=["caption=text"],
                        **{**options, "split": None, "settings": [*options["settings"], "data.fractions=[1,0,0]"]},
                        quiet=True)  # fmt: skip


def test_pictures_are_named_in_words_saved_and_loaded(model, tmp_path):
    table = digits()
    said = model.predict(table, to=tmp_path / "said.csv", verbose=False)
    assert (said.caption == table.caption).mean() > 0.9
    assert said.caption_confidence.between(0, 1).all()
    assert pd.read_csv(tmp_path / "said.csv").caption.tolist() == said.caption.tolist()
    again = polyfuse.load(model.save(tmp_path / "model")).predict(table, verbose=False)
    assert again.equals(said)


def test_options_of_decoding_are_those_of_a_prediction(model):
    table = digits(10)
    beams = model.predict(table, decode={"beams": 3}, verbose=False).caption
    assert beams.tolist() == table.caption.tolist()
    closed = model.predict(table, decode={"answers": ["the digit two", "zero"]}, verbose=False).caption
    assert set(closed) <= {"the digit two", "zero"}
    short = model.predict(table, decode={"caption": {"max_length": 2}}, verbose=False).caption
    assert set(short) == {"this is"}
    with pytest.raises(ValueError, match=r"no option 'beam'; did you mean 'beams'"):
        model.predict(table, decode={"beam": 3}, verbose=False)
    with pytest.raises(ValueError, match="training never showed"):
        model.predict(table, decode={"answers": ["unheard of"]}, verbose=False)


def test_validation_is_by_the_loss_and_several_outputs_learn_together():
    table = digits().rename(columns={"caption": "words"})
    settings = [*FAST, "training.epochs=2", "training.select=best", "data.fractions=[0.8,0.2,0]"]
    made = polyfuse.fit(
        table.drop(columns=["split", "words"]), outputs=["both=text", "kind"], inputs=["image=image", "hint"],
        settings=[*settings, "objectives=[unimodal]"], quiet=True,
    )  # fmt: skip
    assert made.recipe.ensemble.members == []
    assert all(q < 1 for q in made.facts["training"]["history"][0]["val_quality"])
    assert made.predict(table, verbose=False).columns.tolist() == [
        "row", "both", "both_confidence", "kind", "kind_confidence", "kind_p_even", "kind_p_odd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["fusion=decision"], "joins scores of single inputs, and output 'caption'"),
        (["objectives=[unimodal]"], "works on scores of single inputs, and no output has any"),
        (["ensemble.networks=3"], "output 'caption' .* has no scores"),
        (["outputs.caption.head.max_length=0"], "max_length: expected"),
        (["outputs.caption.head.decoder=nonsense"], "unknown decoder"),
        (["outputs.caption.head.decoder={name: gru, depth: 3}"], "gru has no keyword 'depth'"),
        (["outputs.caption.head.decode.beam=3"], "did you mean 'beams'"),
        (["outputs.caption.head.learn={references: some}"], "expected draw or all"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings, message):
    with pytest.raises((RecipeError, ValueError), match=message):
        polyfuse.fit(digits(), outputs=["caption=text"], inputs=["image=image", "hint"], settings=settings, quiet=True)


def test_parts_learn_at_their_own_rates_and_the_recipe_says_so():
    rates = ["training.learning_rates.inputs.image=0.0", "training.learning_rates.outputs.caption.decoder.embed=0.02"]
    settings = [*FAST, *rates, "training.epochs=2", "data.fractions=[1,0,0]"]
    table = digits(20).drop(columns="split")
    fits = [
        polyfuse.fit(table, outputs=["caption=text"], inputs=["image=image"], settings=[*settings, *more], quiet=True)
        for more in ([], ["training.epochs=3"])
    ]
    recipe = fits[0].recipe
    assert recipe.training.learning_rates == {"inputs.image": 0.0, "outputs.caption.decoder.embed": 0.02}
    assert recipe.inputs["image"].learning_rate == 0.0
    one, other = (fit.bundle.network.encoder("image").state_dict() for fit in fits)
    assert all((one[key] == other[key]).all() for key in one)  # at a rate of 0 nothing is learnt
    weights = [fit.bundle.network.head("caption").decoder.embed.weight for fit in fits]
    assert not (weights[0] == weights[1]).all()
    with pytest.raises(RecipeError, match=r"no part 'outputs\.title'; known: .*outputs\.caption"):
        polyfuse.fit(table, outputs=["caption=text"], settings={"training": {"learning_rates": {"outputs.title": 1}}})


def test_sentences_are_written_and_few_answers_stay_classes():
    table = digits()
    table["caption"] = [f"{text} number {n}" for n, text in enumerate(table.caption)]
    settings = [*FAST, "training.epochs=1", "data.fractions=[1,0,0]"]
    made = polyfuse.fit(table, outputs=["caption", "kind"], inputs=["image=image"], settings=settings, quiet=True)
    assert made.recipe.outputs["caption"].head.name == "text"
    assert made.recipe.outputs["kind"].head.name == "category"
    assert any("output 'caption' is a text" in note for note in made.notes)
    table["caption"] = [f"name {n}" for n in range(len(table))]
    with pytest.raises(RecipeError, match="caption=text writes such texts"):
        polyfuse.fit(table, outputs=["caption"], inputs=["image=image"], settings=settings, quiet=True)


def test_a_report_says_how_its_texts_were_written_and_a_prediction_may_change_it(model, tmp_path):
    from typer.testing import CliRunner

    from polyfuse.cli import app

    table = digits(10)
    plain, beams = (model.evaluate(table, decode=how, verbose=False) for how in (None, {"beams": 2}))
    assert plain.outputs["caption"].task == "text"
    assert plain.outputs["caption"].decoding["beams"] == 1
    assert beams.outputs["caption"].decoding["beams"] == 2
    with pytest.raises(ValueError, match="no option"):
        model.evaluate(table, decode={"beem": 2}, verbose=False)
    model.save(tmp_path / "model")
    for n, pixels in enumerate(table.image):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    table = table[["hint"]].assign(image=[f"{n}.png" for n in range(len(table))])
    table.to_parquet(tmp_path / "table.parquet")
    said = ["predict", str(tmp_path / "model"), str(tmp_path / "table.parquet"), "--to", str(tmp_path / "said.csv")]
    assert CliRunner().invoke(app, [*said, "--set", "decode.max_length=2"]).exit_code == 0
    assert set(pd.read_csv(tmp_path / "said.csv").caption) == {"this is"}
    assert CliRunner().invoke(app, [*said, "--set", "training.epochs=2"]).exit_code != 0
