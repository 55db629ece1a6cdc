"""The front door end to end on a tiny table: fit, judge, save, load, predict, embed, refit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse.model.bundle import BundleError
from polyfuse.recipe import RecipeError, parse
from polyfuse.training.callbacks import Pace, Resumable
from tests.encoders.checkpoints import make
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def fitted(table, tmp_path_factory):
    """One model with every modality and two outputs, used by many tests."""
    to = tmp_path_factory.mktemp("models") / "model"
    model = pf.fit(table, outputs=["label", "price"], split="split", to=to, settings=FAST, quiet=True)
    return model, to


def test_a_table_becomes_a_model_that_knows_its_inputs(fitted):
    model, _ = fitted
    assert {n: (i.modality, i.encoder.name) for n, i in model.recipe.inputs.items()} == {
        "text": ("text", "ngrams"),
        "image": ("image", "resnet"),
        "audio": ("audio", "spectrogram_cnn"),
        "columns": ("columns", "mlp"),
    }
    assert {n: o.head.name for n, o in model.recipe.outputs.items()} == {"label": "category", "price": "number"}
    assert "auto" not in model.recipe.to_yaml().replace("steps: auto", "").replace("cache: auto", "")


def test_the_report_has_the_promised_shape(fitted):
    model, _ = fitted
    report = model.report["evaluation"]
    json.dumps(report, allow_nan=False)
    assert report["rows"] == 14
    label, price = report["outputs"]["label"], report["outputs"]["price"]
    low, high = label["accuracy_ci"]
    assert 0 <= low <= label["accuracy"] <= high <= 1
    assert label["accuracy"] > 0.8
    assert {"rmse", "mae", "r2", "rmsle"} <= price.keys()
    assert len(report["missing_modality"]) == 15
    assert report["missing_modality"][0]["inputs"] == ["image", "audio", "text", "columns"]
    assert {"label", "price"} <= report["missing_modality"][0].keys()


def test_loading_gives_the_same_predictions_bit_for_bit(fitted, table):
    model, to = fitted
    before, after = (m.predict(table) for m in (model, pf.load(to)))
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert len(before) == 60
    assert set(before["label"]) <= {"a", "b"}
    assert np.allclose(before[["label_p_a", "label_p_b"]].sum(1), 1)


def test_prediction_needs_no_outputs_and_takes_every_kind_of_table(fitted, table, tmp_path):
    model, _ = fitted
    frame = pd.read_csv(table).drop(columns=["label", "price", "split"])
    expected = model.predict(frame, media_root=table.parent)
    rows = model.predict(frame.to_dict("records"), media_root=table.parent)
    pd.testing.assert_frame_equal(expected, rows)
    for ending, read in (
        (".csv", pd.read_csv),
        (".parquet", pd.read_parquet),
        (".tsv", lambda p: pd.read_csv(p, sep="\t")),
    ):
        model.predict(frame, media_root=table.parent, to=str(tmp_path / f"p{ending}"))
        assert read(tmp_path / f"p{ending}")["label"].tolist() == expected["label"].tolist()
    to = tmp_path / "made" / "on the way" / "p.JSONL"
    model.predict(frame, media_root=table.parent, to=str(to))
    assert len(to.read_text().splitlines()) == 60
    with pytest.raises(ValueError, match="ending of an output file"):
        model.predict(frame, to=str(tmp_path / "p.xlsx"))


def test_an_output_called_row_keeps_its_name(table):
    frame = pd.read_csv(table)[["words", "price"]].rename(columns={"price": "row"})
    found = pf.fit(frame, outputs=["row"], settings=["training.steps=1", "preset=plain"], quiet=True).predict(frame)
    assert list(found) == ["table_row", "row"]
    assert found["table_row"].tolist() == list(range(len(frame)))


def test_embeddings_are_one_vector_per_row(fitted, table, tmp_path):
    model, _ = fitted
    fused, image = model.embed(table), model.embed(table, of="image", to=str(tmp_path / "v.npy"))
    assert fused.shape == image.shape == (60, 16)
    assert fused.dtype == np.float32
    assert np.array_equal(np.load(tmp_path / "v.npy"), image)
    assert (image[0] == 0).all()  # its picture is missing
    with pytest.raises(ValueError, match="did you mean 'image'"):
        model.embed(table, of="imge")
    with pytest.raises(ValueError, match="ending of an output file"):
        model.embed(table, to=str(tmp_path / "v.txt"))


def test_a_saved_recipe_fitted_again_gives_the_same_model(fitted, table, tmp_path):
    model, to = fitted
    again = pf.fit(to, to=tmp_path / "again", quiet=True)
    pd.testing.assert_frame_equal(model.predict(table), again.predict(table), check_exact=True)
    assert again.recipe.model_dump() == model.recipe.model_dump()


def test_another_seed_gives_another_model(fitted, table):
    model, to = fitted
    other = pf.fit(to, seed=1, quiet=True)
    assert not np.allclose(model.predict(table)["price"], other.predict(table)["price"])


@pytest.fixture(scope="module")
def two_inputs(table, tmp_path_factory):
    """A model of pictures and numbers that is fitted in half a second and judged by nothing."""
    to = tmp_path_factory.mktemp("two") / "model"
    settings = [*FAST, "data.fractions=[0.8,0.2,0]", "training.epochs=2"]
    inputs = ["image@photo=image", "columns@area=columns"]
    return pf.fit(table, outputs=["label", "price"], inputs=inputs, to=to, settings=settings, quiet=True), to


@pytest.mark.parametrize(
    "setting",
    [
        "training.learning_rate=0.02",
        "training.weight_decay=0.9",
        "training.warmup=0.8",
        "training.clip=0.001",
        "training.batch_size=8",
        "training.steps=4",
        "training.precision=bf16",
        "training.missing=token",
        "training.modality_dropout=0.6",
        "inputs.image.learning_rate=0.02",
        "inputs.image.weight_decay=0.9",
        "inputs.image.augment=none",
        "inputs.image.augment=strong",
        "inputs.image.transfer=frozen",
        "inputs.image.transfer=staged",
        "inputs.columns.transfer=lora",
        "inputs.image.encoder.depth=2",
        "outputs.label.weight=0.1",
        "fusion=mean",
        "fusion.depth=0",
        "width=24",
    ],
)
def test_every_setting_changes_something(two_inputs, table, setting):
    frame = pd.read_csv(table).head(8)
    model, to = two_inputs
    before = model.predict(frame, media_root=table.parent)["price"]
    after = pf.fit(to, settings=[setting], quiet=True).predict(frame, media_root=table.parent)["price"]
    assert not np.array_equal(before, after)


OBJECTIVES = ["unimodal", "distill", "impute", "ogm_ge", "gradient_blending", "mixup"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_from_the_command_line_and_survives_saving(table, tmp_path, name):
    """And changes what is learned; every fusion is trained by the same path in ``tests/comparison``."""
    frame = pd.read_csv(table).assign(split=lambda f: np.resize(["train", "train", "val", "test"], len(f)))
    options = {"outputs": ["label"], "inputs": ["words", "area"], "split": "split", "settings": FAST, "quiet": True}
    plain = pf.fit(frame, **options).predict(frame)["label_p_a"]
    weight = "" if name == "gradient_blending" else ", weight: 0.5"  # it takes no other weight than 1
    settings = (*FAST, f"objectives=[{{name: {name}{weight}}}]")
    made = pf.fit(frame, **options | {"settings": settings}, to=tmp_path / "m")
    assert [objective.name for objective in made.recipe.objectives] == [name]
    found = made.predict(frame)["label_p_a"]
    assert not np.allclose(found, plain, atol=1e-6)
    assert np.array_equal(pf.load(tmp_path / "m").predict(frame)["label_p_a"], found)


# trained in tests/objectives/test_alignment.py and tests/objectives/test_masked.py
ELSEWHERE = ["barlow", "clip", "masked", "siglip", "supcon", "triplet", "vicreg"]


def test_every_objective_is_named_above():
    assert sorted([*OBJECTIVES, *ELSEWHERE]) == sorted(part.name for part in pf.parts("objectives"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("fusion=decision", "training.missing=token"), "nothing can stand in"),
        (("fusion=decision", "objectives=[{name: impute}]"), "objective impute: the fusion decision leaves absent"),
        (("fusion=decision", "objectives=[{name: mixup}]"), "objective mixup: the fusion decision joins answers"),
        (("objectives=[{name: mixup, alpha: 0}]",), "alpha=0: expected a number above 0"),
        (("objectives=[{name: gradient_blending}]", "data.fractions=[1,0,0]"), "measures on validation rows"),
        (("objectives=[{name: gradient_blending, weight: 2}]",), "expected every weight to be 1"),
        (("objectives=[{name: gradient_blending}]", "outputs.label.weight=0.5"), "expected every weight to be 1"),
        (("training.modality_dropout={txt: 0.5}",), "did you mean 'text'"),
    ],
)
def test_what_cannot_go_together_is_refused(table, settings, message):
    with pytest.raises(ValueError, match=message):
        pf.fit(table, outputs=["label"], inputs=["words", "area"], split="split", settings=(*FAST, *settings))


@pytest.mark.parametrize(("dropout", "idle"), [(0.0, True), (0.2, False)])
def test_tokens_that_learn_nothing_are_said(table, dropout, idle):
    frame = pd.read_csv(table).dropna(subset=["words", "area"])
    settings = (*FAST, "training.missing=token", f"training.modality_dropout={dropout}")
    options = {"outputs": ["label"], "inputs": ["words", "area"], "settings": settings, "quiet": True}
    model = pf.fit(frame, **options)
    assert any("learn nothing" in note for note in model.notes) is idle


def test_calibration_can_be_switched_off(tmp_path):
    table = write_table(tmp_path, rows=300, split=False)
    settings = (*FAST, "data.fractions=[0.5,0.4,0.1]")
    made = [
        pf.fit(table, outputs=["label"], inputs=["area"], settings=[*settings, f"training.calibrate={on}"], quiet=True)
        for on in ("true", "false")
    ]
    temperatures = [float(m.bundle.network.head("label").temperature) for m in made]
    assert temperatures[0] != 1
    assert temperatures[1] == 1


def test_selection_on_validation_keeps_the_best_weights(tmp_path):
    table = write_table(tmp_path, rows=200, split=False)
    settings = (
        "preset=plain",
        "training.epochs=60",
        "data.fractions=[0.5,0.4,0.1]",
        "training.select=best",
        "training.patience=0.1",
    )
    model = pf.fit(table, outputs=["label"], inputs=["area"], settings=settings, quiet=True)
    facts = model.report["training"]
    assert facts["kept"].startswith("best on validation")
    assert facts["steps"] <= facts["planned"]
    assert int(facts["kept"].split()[-1]) <= facts["steps"]
    last = pf.fit(table, outputs=["label"], inputs=["area"], settings=[*settings, "training.select=last"], quiet=True)
    assert last.report["training"]["kept"] == "last of the schedule"


def test_a_time_budget_fixes_the_steps_and_refitting_repeats_them(table, tmp_path, monkeypatch):
    monkeypatch.setattr(Pace, "on_train_batch_end", lambda *_: None)  # a machine that is slower later is another matter
    settings = ("preset=plain", "training.epochs=4000", "training.batch_size=16", "width=16")
    model = pf.fit(table, outputs=["label"], inputs=["area", "kind"], split="split", time="2s", settings=settings,
                   to=tmp_path / "m", quiet=True)  # fmt: skip
    steps = model.recipe.training.steps
    assert isinstance(steps, int)
    assert 1 <= steps < 4000 * 3
    assert model.recipe.training.time is None
    assert f"the time budget had room for {steps:,} of 12,000 steps" in model.notes
    again = pf.fit(tmp_path / "m", quiet=True)
    assert again.report["training"]["steps"] == steps
    pd.testing.assert_frame_equal(model.predict(table), again.predict(table), check_exact=True)


def test_event_files_are_written(fitted):
    _, to = fitted
    assert list((to.parent / "model.run").rglob("events.out.tfevents.*"))


def test_a_new_run_leaves_no_curves_of_an_older_one(table, tmp_path):
    def events():
        settings = ("preset=plain", "training.steps=1", "width=16")
        pf.fit(table, outputs=["label"], inputs=["area"], to=tmp_path / "m", settings=settings, quiet=True)
        return set((tmp_path / "m.run").rglob("events.out.tfevents.*"))

    first, second = events(), events()
    assert len(first) == len(second) == 1
    assert first != second


def test_init_from_takes_encoder_preprocessing_and_weights(fitted, table):
    model, to = fitted
    values = {
        "inputs": {"eye": {"columns": "photo", "init_from": f"{to}#image", "transfer": "frozen"}},
        "outputs": {"label": {"column": "label"}},
        "data": {"split": "split"},
        "training": {"epochs": 1},
    }
    taught = pf.fit(parse(values), table=table, quiet=True)
    old, new = model.bundle.network.encoder("image"), taught.bundle.network.encoder("eye")
    assert all(torch.equal(a, b) for a, b in zip(old.state_dict().values(), new.state_dict().values(), strict=True))
    assert taught.recipe.inputs["eye"].encoder.name == "resnet"
    with pytest.raises(BundleError, match="expected BUNDLE#INPUT"):
        pf.fit(parse({**values, "inputs": {"eye": {"columns": "photo", "init_from": str(to)}}}), table=table)
    with pytest.raises(ValueError, match="did you mean 'image'"):
        pf.fit(parse({**values, "inputs": {"eye": {"columns": "photo", "init_from": f"{to}#imag"}}}), table=table)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"columns": "words", "init_from": "#image"}, "reads image, and words holds text"),
        ({"columns": "photo", "init_from": "#image", "encoder": "vit"}, "name 'resnet', not 'vit'"),
        ({"columns": ["kind", "area"], "init_from": "#columns"}, "reads area, kind in this order, found kind, area"),
    ],
)
def test_init_from_refuses_what_it_would_have_to_ignore(fitted, table, item, message):
    item = {**item, "init_from": f"{fitted[1]}{item['init_from']}"}
    values = {"inputs": {"eye": item}, "outputs": {"label": {"column": "label"}}, "data": {"split": "split"}}
    with pytest.raises(RecipeError, match=message):
        pf.fit(parse(values), table=table, quiet=True)


def test_init_from_goes_on_with_adapters_around_the_layers_of_a_full_training(table, tmp_path):
    path = make(tmp_path / "bert", "bert")

    def taught(to, **item):
        values = {
            "inputs": {"x": {"columns": "words", **item}},
            "outputs": {"label": {"column": "label"}},
            "data": {"split": "split"},
            "training": {"epochs": 1},
            "width": 16,
        }
        return pf.fit(parse(values), table=table, quiet=True, to=tmp_path / to)

    full = taught("full", encoder={"name": "pretrained", "path": str(path)})
    adapted = taught("lora", init_from=f"{tmp_path}/full#x", transfer="lora")
    old, new = (model.bundle.network.encoder("x").state_dict() for model in (full, adapted))
    key = "model.encoder.layer.0.attention.self.query"
    assert torch.equal(old[f"{key}.weight"], new[f"{key}.base_layer.weight"])
    with pytest.raises(RecipeError, match=r"set inputs\.x\.transfer: lora"):
        taught("again", init_from=f"{tmp_path}/lora#x")


def test_a_checkpoint_without_a_path_is_an_error_that_says_so(table):
    with pytest.raises(RecipeError, match=r"inputs\.x\.encoder: pretrained needs 'path'"):
        pf.fit(table, outputs=["label"], inputs=["x@words=text:pretrained"], quiet=True)


def test_keywords_are_checked_where_the_table_chooses_the_fusion(table):
    with pytest.raises(RecipeError, match="fusion: concat has no keyword 'dept'"):
        pf.fit(table, outputs=["label"], settings=[*FAST, "fusion.dept=2"], quiet=True)


def test_rows_without_a_target_teach_nothing_and_are_not_judged(table, tmp_path):
    frame = pd.read_csv(table)
    frame.loc[::3, "label"] = None
    model = pf.fit(frame, outputs=["label", "price"], inputs=["area"], split="split", settings=FAST, quiet=True)
    test = frame[frame.split == "test"]
    assert model.report["evaluation"]["outputs"]["label"]["rows"] == test.label.notna().sum()
    assert model.report["evaluation"]["outputs"]["price"]["rows"] == len(test)


def test_a_saved_recipe_finds_its_files_and_media_from_anywhere(table, tmp_path, monkeypatch):
    frame = pd.read_csv(table)
    for side in ("train", "test"):
        frame[frame.split == side].drop(columns="split").to_csv(tmp_path / f"{side}.csv", index=False)
    monkeypatch.chdir(table.parent.parent)
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    options = {"outputs": ["label"], "inputs": ["photo"], "media_root": table.parent.name, "settings": FAST}
    model = pf.fit(files, to=tmp_path / "m", quiet=True, **options)
    monkeypatch.chdir("/")
    again = pf.fit(tmp_path / "m", quiet=True)
    assert again.report["training"]["rows"] == model.report["training"]["rows"]
    assert again.predict(files, media_root=table.parent).equals(model.predict(files, media_root=table.parent))


def test_a_place_that_cannot_be_written_is_refused_before_training(table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="exists and is no saved model"):
        pf.fit(table, outputs=["label"], to=tmp_path, settings=["training.epochs=100000", "preset=plain"], quiet=True)


def test_resuming_keeps_the_steps_that_a_time_budget_fixed(table, tmp_path):
    run = tmp_path / "m.run"
    options = {"outputs": ["label"], "inputs": ["area"], "split": "split", "to": tmp_path / "m", "quiet": True}
    options["settings"] = ["preset=plain"]
    first = pf.fit(table, time=0.01, **options)
    assert any("less than one pass over the training rows" in note for note in first.notes)
    (run / "recipe.yaml").write_text(
        first.recipe.to_yaml().replace(f"steps: {first.recipe.training.steps}", "steps: 7")
    )
    again = pf.fit(table, time=2, resume=True, **options)
    assert again.report["training"]["planned"] == 7
    assert any("no checkpoint to go on from" in note for note in again.notes)


def test_a_run_is_not_taken_for_another_one(table, tmp_path):
    run = tmp_path / "m.run"
    options = {"outputs": ["label"], "inputs": ["area"], "split": "split", "to": tmp_path / "m", "quiet": True}
    pf.fit(table, settings=FAST, **options)
    (run / "last.ckpt").write_bytes(b"weights of another model")
    with pytest.raises(RecipeError, match=r"was begun with another recipe: training\.seed was 0 and is 1"):
        pf.fit(table, settings=FAST, seed=1, resume=True, **options)
    pf.fit(table, settings=FAST, seed=1, **options)  # a fresh run removes it
    assert not (run / "last.ckpt").exists()


SLOW_FIT = """
import sys, polyfuse as pf
pf.fit(sys.argv[1], outputs=["label"], inputs=["area", "kind"], split="split", to=sys.argv[2], quiet=True,
       resume="--resume" in sys.argv,
       settings=["preset=plain", "training.epochs=3000", "training.checkpoint=0", "training.batch_size=16", "width=16"])
"""


def _start(table, to, *more):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_FIT, str(table), str(to), *more], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("epochs", "broken", "more"),  # of 45 epochs every second one validates
    [
        (5, 1, []),
        (45, 1, []),
        pytest.param(45, 2, [], marks=pytest.mark.slow),
        (5, 3, ["training.workers=1"]),
        (45, 3, ["training.select=best"]),
    ],
)
def test_a_run_that_broke_off_repeats_what_would_have_come(table, tmp_path, monkeypatch, epochs, broken, more):
    options = {"outputs": ["label"], "inputs": ["area", "kind"], "split": "split", "quiet": True}
    settings = ["preset=plain", f"training.epochs={epochs}", "training.batch_size=16", "training.checkpoint=0"]
    options["settings"] = [*settings, "width=16", "training.patience=1", *more]
    whole = pf.fit(table, to=tmp_path / "whole", **options)
    write = Resumable.on_train_epoch_end

    def break_off(self, trainer, learner):
        write(self, trainer, learner)
        if trainer.global_step == 3 * broken:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(Resumable, "on_train_epoch_end", break_off)
        with pytest.raises(RuntimeError, match="power cut"):
            pf.fit(table, to=tmp_path / "broken", **options)
    resumed = pf.fit(table, to=tmp_path / "broken", resume=True, **options)
    assert resumed.report["training"]["steps"] == whole.report["training"]["steps"] == 3 * epochs
    one, two = (model.bundle.network.state_dict() for model in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(table, tmp_path):
    whole = _start(table, tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    killed = _start(table, tmp_path / "killed")
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed.run" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed").exists()
    resumed = _start(table, tmp_path / "killed", "--resume")
    assert resumed.wait() == 0, resumed.stderr.read()
    one, two = (pf.load(tmp_path / n).bundle.network.state_dict() for n in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not (tmp_path / "killed.run" / "last.ckpt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_learned_and_says_how_to_go_on(table, tmp_path, number):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("a process in the background ignores Ctrl-C")

    def interrupt():
        while not list((tmp_path / "m.run").rglob("events.out.tfevents.*")):
            time.sleep(0.05)
        time.sleep(1)
        os.kill(os.getpid(), number)

    timer = threading.Thread(target=interrupt)
    timer.start()
    model = pf.fit(table, outputs=["label"], inputs=["area"], split="split", to=tmp_path / "m", quiet=True,
                   settings=["training.epochs=100000", "preset=plain"])  # fmt: skip
    timer.join()
    facts = model.report["training"]
    assert facts["interrupted"]
    assert 0 < facts["steps"] < facts["planned"]
    # epochs end all the time, but a checkpoint is due every 20 seconds only
    assert any("the same call begins again" in note or "--resume" in note for note in model.notes)
    pf.load(tmp_path / "m").predict(table)
