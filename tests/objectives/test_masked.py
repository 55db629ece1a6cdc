"""Masked modelling: what is hidden is guessed better than by chance, and better still where another input tells it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import polyfuse as pf
from polyfuse.layers.masking import Patches, Subwords, Values
from polyfuse.objectives.masked import Masked
from polyfuse.recipe import RecipeError
from polyfuse.records import Batch

FAST = ("width=32", "preset=plain", "training.batch_size=32", "training.modality_dropout=0", "training.warmup=0.1")
SMALL = ["inputs.says.encoder={name: transformer, width: 32, depth: 1, dropout: 0}", "inputs.says.augment=none"]
SMALL += ["inputs.says.learning_rate=0.01", "training.learning_rate=0.01"]


def fitted(frame, *settings_, **more):
    return pf.fit(frame, settings=[*FAST, *settings_], quiet=True, split="split", **more)


def guesses(model):
    """Input -> loss on what is hidden, and that of means and frequencies."""
    return model.facts["masked"]


# ---- hiding


@given(
    side=st.integers(1, 5),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_hidden_patches_are_of_one_colour_and_all_others_stay(side, height, width, share, seed):
    draw = torch.Generator().manual_seed(seed)
    masking = Patches(side)
    fields = {"pixels": torch.randint(0, 256, (2, 3, height, width), generator=draw).to(torch.uint8)}
    units = masking.units(fields)
    hidden = torch.rand(units.real_UN.shape, generator=draw) < share
    pixels = masking.hide(fields, hidden, torch.tensor([-1.0, 0.0, 1.0]))["pixels"]
    colour = torch.tensor([0.0, 127.5, 255.0])
    columns = -(-width // side)
    for u in range(2):
        for y in range(height):
            for x in range(width):
                wanted = colour if hidden[u, y // side * columns + x // side] else fields["pixels"][u, :, y, x].float()
                assert torch.equal(pixels[u, :, y, x], wanted)
    if side > 1:
        spread = units.values_UNP.var(-1, unbiased=False)
        assert torch.all((spread < 1.01) & ((spread > 0.9) | (spread < 0.01)))


def test_subwords_keep_marks_and_prefix():
    fields = {"ids": torch.tensor([[1, 7, 8, 2, 0]]), "lengths": torch.tensor([4])}
    masking = Subwords(9, 5, kept=[1, 2], prefix=1)
    units = masking.units(fields)
    assert units.real_UN.tolist() == [[True, True, False, False]]
    assert masking.hide(fields, units.real_UN, torch.zeros(0))["ids"].tolist() == [[1, 5, 5, 2, 0]]


def test_all_that_says_a_value_is_hidden_with_it():
    """A date is several numbers, and what is missing is not guessed."""
    masking = Values(5, [4], owners=[0, 1, 1, 1, 1], flags=1)  # one number; a date of three with a flag
    fields = {"numbers": torch.tensor([[1.0, 2, 3, 4, 0], [5, 0, 0, 0, 1]]), "categories": torch.tensor([[3], [1]])}
    units = masking.units(fields)
    assert units.real_UN.tolist() == [[True, True, True], [True, False, False]]
    assert units.values_UNP[0].tolist() == [[1, 0, 0], [2, 3, 4], [0, 0, 0]]
    assert units.known_UNP[0].tolist() == [[True, False, False], [True] * 3, [False] * 3]
    assert units.ids_UN.tolist() == [[-1, -1, 3], [-1, -1, 1]]
    hidden = torch.tensor([[False, True, True], [True, False, False]])
    made = masking.hide(fields, hidden, torch.full((5,), 9.0))
    assert made["numbers"].tolist() == [[1, 9, 9, 9, 9], [9, 0, 0, 0, 1]]
    assert made["categories"].tolist() == [[0], [1]]


@given(share=st.floats(0.01, 1.0), lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_share_of_the_real_units_is_hidden_and_one_at_least(share, lengths):
    objective = Masked(["a"], 4, share=share)
    real = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    hidden = objective._drawn(real, 0.5)
    assert not (hidden & ~real).any()
    wanted = [0 if n == 0 else max(1, round(share * n)) for n in lengths]
    assert all(abs(found - count) <= 1 for found, count in zip(hidden.sum(1).tolist(), wanted, strict=True))
    assert all((found > 0) == (n > 0) for found, n in zip(hidden.sum(1).tolist(), lengths, strict=True))
    objective.eval()
    assert torch.equal(objective._drawn(real, 0.5), objective._drawn(real, 0.5))


# ---- learning

FILLERS = [f"month{n}" for n in range(12)]  # nothing tells which
RULE = [
    f"the {who} sleeps {when} in {month}"
    for who in ("red fox", "old dog")
    for when in ("all day", "at night")
    for month in FILLERS
]


def sentences(rows=160):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"says": [RULE[n] for n in rng.integers(len(RULE), size=rows)]})
    frame["kind"] = frame.says.str.contains("fox").map({True: "fox", False: "dog"})
    return frame.assign(split=np.resize(["train", "train", "train", "test"], rows))


TEXT = ["says@says=text"]


def test_hidden_subwords_are_guessed_better_than_by_their_frequency(tmp_path):
    frame = sentences()
    objectives = "objectives=[{name: masked, share: 0.2}]"
    model = fitted(frame, objectives, *SMALL, "training.epochs=20", inputs=TEXT, to=tmp_path / "m")
    words = pd.Series(" ".join(frame.says).split()).value_counts(normalize=True)
    chance = -(words * np.log(words)).sum()
    found = guesses(model)["says"]
    assert found["trivial"] == pytest.approx(chance, rel=0.25)
    assert found["loss"] < 0.7 * found["trivial"]
    assert not any("hardly anything was learnt" in note for note in model.notes)
    short = fitted(frame, objectives, *SMALL, "training.steps=1", inputs=TEXT)
    assert guesses(short)["says"]["loss"] > 0.97 * chance
    assert any("'says'" in note and "hardly anything was learnt" in note for note in short.notes)
    assert pf.load(tmp_path / "m").facts["masked"] == guesses(model)
    # and its encoder is what another model begins with
    start = f"inputs.says.init_from={tmp_path / 'm'}#says"
    classed = fitted(
        frame, start, "inputs.says.transfer=frozen", "training.epochs=5", inputs=["says@says=text"], outputs=["kind"]
    )
    weights = [m.bundle.network.encoder("says").state_dict() for m in (model, classed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_input_that_knows_the_answer_helps():
    """Which animal sleeps is hidden from the words alone, and told by the column."""
    rng = np.random.default_rng(1)
    frame = sentences()
    frame["says"] = ["a" if kind == "fox" else "b" for kind in frame.kind]
    frame["kind"] = np.where(frame.kind == "fox", "x", "y")
    frame["noise"] = rng.normal(size=len(frame))
    inputs = [*TEXT, "other@kind,noise=columns"]
    losses = {}
    for conditioned in (False, True):
        objective = f"objectives=[{{name: masked, hide: says, share: 1.0, conditioned: {str(conditioned).lower()}}}]"
        model = fitted(frame, objective, *SMALL, "training.epochs=15", inputs=inputs)
        losses[conditioned] = guesses(model)["says"]["loss"]
        assert (model.bundle.network.fusion is not None) == conditioned
    assert losses[False] > 0.9 * math.log(2)
    assert losses[True] < 0.3 * losses[False]
    assert model.embed(frame).shape == (len(frame), 32)  # the fused vector, where there is a fusion


def media(folder, rows=64):
    """Stripes and tones of two kinds, each told from any part of itself, and a column that is twice another."""
    rng, xs, ts = np.random.default_rng(0), np.arange(16), np.arange(1600) / 8000
    table = []
    for n in range(rows):
        wave = 127 + 100 * np.sin(xs * (0.4 if n % 2 else 0.8))
        Image.fromarray(np.repeat(wave[None], 16, 0).astype(np.uint8)).save(folder / f"{n}.png")
        tone = 0.3 * np.sin(2 * np.pi * (300 if n % 2 else 1500) * ts) + rng.normal(0, 0.001, 1600)
        soundfile.write(folder / f"{n}.wav", tone, 8000)
        area = rng.normal()
        row = {"photo": str(folder / f"{n}.png"), "sound": str(folder / f"{n}.wav"), "area": area, "double": 2 * area}
        table.append({**row, "kind": "xy"[area > 0], "split": ("train", "train", "train", "test")[n % 4]})
    return pd.DataFrame(table)


def test_patches_sounds_and_columns_are_guessed_better_than_by_their_mean(tmp_path):
    frame, names = media(tmp_path), ("photo", "sound", "values")
    inputs = ["photo@photo=image", "sound@sound=audio", "values@area,double,kind=columns"]
    settings_ = ["objectives=[masked]", "training.epochs=40", "training.learning_rate=0.01"]
    settings_ += ["inputs.photo.encoder={name: vit, width: 32, depth: 1, dropout: 0}", "inputs.photo.augment=none"]
    settings_ += ["inputs.sound.encoder={name: lstm, width: 32, depth: 1, dropout: 0, mask: 0}"]
    settings_ += ["inputs.values.encoder={name: mlp, dropout: 0}"]
    settings_ += [f"inputs.{name}.learning_rate=0.01" for name in names]
    model = fitted(frame, *settings_, inputs=inputs)
    found = guesses(model)
    assert all(found[name]["loss"] < 0.6 * found[name]["trivial"] for name in names), found
    less = guesses(fitted(frame, *(s.replace("epochs=40", "steps=1") for s in settings_), inputs=inputs))
    assert all(less[name]["loss"] > 0.8 * less[name]["trivial"] for name in names), less


def test_it_is_an_extra_loss_beside_outputs():
    frame = sentences(64)
    options = {"inputs": TEXT, "outputs": ["kind"]}
    with_it, without = (
        fitted(frame, f"objectives={objectives}", *SMALL, "training.epochs=2", **options).embed(frame, of="says")
        for objectives in ("[masked]", "[]")
    )
    assert np.abs(with_it - without).max() > 1e-2


def test_rows_count_by_their_weights():
    """Losses are multiplied and their number is not: as in every other loss, light batches move the network less."""
    objective, judged = Masked(["a"], 4), {"a": (torch.tensor([6.0, 2.0, 9.0]), torch.tensor([2.0, 1.0, 3.0]))}
    for weights, expected in (([1.0, 1.0, 1.0], 17 / 6), ([0.5, 1.0, 0.0], 5 / 3), ([0.0, 0.0, 0.0], 0.0)):
        batch = Batch({}, {}, torch.arange(3), torch.tensor(weights), {})
        assert objective.loss(judged, batch, {}).item() == pytest.approx(expected)


def test_chunks_of_a_batch_learn_what_the_whole_batch_does():
    frame, found = sentences(64), {}
    for chunk in ("null", "7"):
        settings_ = ["objectives=[{name: masked, share: 1.0}]", "training.epochs=2", f"training.chunk={chunk}"]
        found[chunk] = fitted(frame, *settings_, *SMALL, inputs=TEXT).embed(frame, of="says")
    assert np.abs(found["null"] - found["7"]).max() < 1e-3


def test_gradients_reach_the_encoder_and_what_stands_in_for_the_hidden():
    frame = sentences(32)
    model = fitted(frame, "objectives=[{name: masked, conditioned: true}]", "training.epochs=1",
                   inputs=[*TEXT, "kind@kind=columns"])  # fmt: skip
    network = model.bundle.network.train()
    rows, _ = model._rows(model._read(frame, None, None), targets=False)
    batch = rows[0, np.arange(32)]
    sum(network.losses(network(batch), batch).values()).backward()
    parts = {"encoder": network.encoder("says"), "columns": network.encoder("kind"), "own": network.objectives[0]}
    for name, part in parts.items():
        lacking = [n for n, p in part.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not [n for n in lacking if "fills" not in n and "numbers" not in n], (name, lacking)


# ---- refusals


@pytest.mark.parametrize(
    ("inputs", "objective", "message"),
    [
        (["says@says=text:ngrams"], "{name: masked}", r"'says' is read by ngrams, which cannot be .*\(gru, transf"),
        (TEXT, "{name: masked, hide: [say]}", "unknown input 'say'"),
        (TEXT, "{name: masked, share: 0}", "share=0"),
        (TEXT, "{name: masked, conditioned: true}", "no other input to guess from"),
        (TEXT, "{name: masked, shares: 0.1}", "no keyword 'shares'; did you mean 'share'"),
    ],
)  # fmt: skip
def test_what_cannot_be_masked_is_refused_by_name(inputs, objective, message):
    with pytest.raises(ValueError, match=message):
        fitted(sentences(20), f"objectives=[{objective}]", inputs=inputs)


def test_frozen_several_and_fixed_encoders_are_refused_by_name():
    frame, objective = sentences(20), "objectives=[masked]"
    frozen = "inputs.says.transfer=frozen"
    several = "inputs.says.encoder=[transformer, gru]"
    with pytest.raises(RecipeError, match=r"'says' is frozen.*transfer: full"):
        fitted(frame, objective, frozen, inputs=TEXT)
    with pytest.raises(RecipeError, match="'says' has several encoders"):
        fitted(frame, objective, several, inputs=["says@says=text"])
    decided = ["fusion=decision", "objectives=[{name: masked, hide: says, conditioned: true}]"]
    with pytest.raises(RecipeError, match="decision joins answers alone"):
        fitted(frame, *decided, inputs=[*TEXT, "kind@kind=columns"])


def test_an_input_that_names_no_encoder_gets_one_that_can_be_masked():
    model = fitted(sentences(24), "objectives=[masked]", "training.epochs=1", inputs=["says"])
    assert model.recipe.inputs["text"].part.name == "transformer"
