"""Models made smaller: what each method promises, chains, the search for the strongest setting, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse as pf
from polyfuse import runtime
from polyfuse.compress import chain, measure
from polyfuse.compress.distill import Distill
from polyfuse.compress.low_rank import LowRank
from polyfuse.compress.magnitude import Magnitude
from polyfuse.compress.prune import Prune
from polyfuse.compress.quantize import Quantize
from polyfuse.compress.study import begin
from polyfuse.layers.low_rank import LowRankConv, LowRankLinear, factored
from polyfuse.model import bundle as bundles
from polyfuse.model.bundle import BundleError
from polyfuse.model.inference import predict
from polyfuse.recipe import RecipeError
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")
INPUTS = ("photo", "sound", "words")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small model of pictures, sounds and words, and its table's path."""
    table = write_table(tmp_path_factory.mktemp("tiny"), rows=48)
    model = pf.fit(table, outputs=["label"], inputs=INPUTS, split="split", settings=FAST, quiet=True, device="cpu")
    return model, table


@pytest.fixture(scope="module")
def study(made):
    model, table = made
    return begin(model.bundle, model._read(table, None, None), same=True)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Figures of time are not what these tests are about."""
    monkeypatch.setattr(measure, "SECONDS", 0.02)


def scores(study, bundle):
    return predict(bundle.network, study.read(bundle).plain, numbers=study.judged)["label"].scores


def count(bundle):
    return sum(p.numel() for p in bundle.network.parameters())


def reloaded(bundle, place):
    bundles.save(bundle, place)
    return bundles.load(place, "cpu")


def test_rows_are_those_of_training(study, made):
    frame = pd.read_csv(made[1])
    assert set(frame.split[study.judged]) == {"test"}
    assert set(frame.split[study.splits.train]) | set(frame.split[study.splits.val]) == {"train"}
    assert "as they did for the model" in study.notes[0]
    other = begin(study.bundle, study.table, same=False)
    assert "not the one" in other.notes[0]


# --- distill


def clues(seed=0, rows=200):
    """Two columns that tell the class together; the second alone tells it to who knows what the first made of it."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, rows)
    frame = pd.DataFrame({"a": np.cos(angle) + rng.normal(0, 0.05, rows), "b": np.sin(angle), "c": angle})
    frame["label"] = np.where((angle + rng.normal(0, 0.5, rows)) % np.pi < np.pi / 2, "in", "out")
    frame["split"] = np.where(np.arange(rows) < 80, "train", "test")
    return frame


def test_a_taught_student_is_nearer_to_its_teacher_than_the_same_student_alone():
    settings = ["preset=plain", "training.epochs=25", "data.fractions=[1.0,0.0,0.0]"]
    frame = clues()
    model = pf.fit(frame, outputs=["label"], inputs=["x@a,b,c"], split="split", settings=settings, quiet=True)
    study = begin(model.bundle, model._read(frame, None, None), same=True)
    apart = {}
    for weight in (0.0, 10.0):
        method = Distill(width=0.25, weight=weight, epochs=25)
        student = method.compress(model.bundle, study)[0]
        assert count(student) < 0.5 * count(model.bundle)
        said, wanted = (scores(study, b).softmax(-1) for b in (student, model.bundle))
        apart[weight] = float((said - wanted).abs().mean())
    assert apart[10.0] < 0.9 * apart[0.0]


def test_a_student_may_lack_a_modality(study):
    student, said = Distill(inputs="sound", epochs=1).compress(study.bundle, study)
    assert list(student.recipe.inputs) == ["audio"]
    assert student.recipe.inputs["audio"].columns == ["sound"]
    assert student.transforms["in:audio"] is study.bundle.transforms["in:audio"]
    assert not student.network.objectives
    assert "reading audio" in said


def test_every_lesson_and_both_ways_of_asking_the_teacher(study):
    lessons = {"logits": 1.0, "features": 0.5, "attention": 0.5, "relational": 0.5, "contrastive": 0.1}
    for views in ("once", "each"):
        student, _ = Distill(lessons=lessons, views=views, epochs=1).compress(study.bundle, study)
        assert torch.isfinite(scores(study, student)).all()


def test_the_teacher_is_heard_with_all_that_answers_beside_it():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(0, 1, 60), "z": rng.normal(0, 1, 60)})
    frame["label"] = np.where(frame.x + 0.3 * frame.z > 0, "up", "down")
    members = "ensemble.members=[{name: linear, inputs: [columns]}]"
    settings = ["preset=scratch", "training.epochs=2", "ensemble.folds=2", "ensemble.networks=2", members]
    model = pf.fit(frame, outputs=["label"], settings=settings, quiet=True)
    assert model.bundle.network.ensemble is not None
    study = begin(model.bundle, model._read(frame, None, None), same=True)
    student, _ = Distill(epochs=1).compress(model.bundle, study)
    assert student.network.ensemble is None
    pruned, _ = Prune(ratio=0.5, epochs=1).compress(model.bundle, study)
    assert pruned.network.ensemble is not None
    assert count(pruned) < count(model.bundle)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"inputs": {"n": {"columns": ["area"]}}}, "reads column 'area', which the teacher does not"),
        ({"inputs": {"video": {}}}, "unknown input of the teacher 'video'"),
        ({"outputs": {"price": {"column": "price", "head": "number"}}}, "unknown output of the teacher 'price'"),
        ({"outputs": {"label": {"column": "label", "head": "labels"}}}, "the teacher's is category"),
    ],
)
def test_a_student_that_cannot_be_taught(study, student, message):
    with pytest.raises((RecipeError, ValueError), match=message):
        Distill(student=student).recipe(study.bundle.recipe)


# --- prune


def test_pruned_parts_are_smaller_by_their_own_ratios(study, tmp_path):
    pruned, said = Prune(ratio="image=0.7,audio=0.3", epochs=1).compress(study.bundle, study)
    shares = {
        name: sum(p.numel() for p in pruned.network.encoder(name).parameters())
        / sum(p.numel() for p in study.bundle.network.encoder(name).parameters())
        for name in ("image", "audio", "text")
    }
    assert shares["image"] < shares["audio"] < shares["text"] == 1
    assert "parameters stay" in said
    again = reloaded(pruned, tmp_path / "pruned")
    assert torch.equal(scores(study, again), scores(study, pruned))
    assert json.loads((tmp_path / "pruned" / "manifest.json").read_text())["format"] == 2
    with pytest.raises(BundleError, match="was compressed"):
        bundles.read_input(f"{tmp_path / 'pruned'}#image")


def test_heads_of_attention_go_as_a_whole(made):
    table = made[1]
    inputs = ["w@words=text:transformer"]
    settings = [*FAST, "training.epochs=1", "fusion=attention"]
    model = pf.fit(table, outputs=["label"], inputs=inputs, split="split", settings=settings, quiet=True)
    study = begin(model.bundle, model._read(table, None, None), same=True)
    pruned, _ = Prune(ratio=0.5, epochs=0).compress(model.bundle, study)
    block = pruned.network.encoder("w").blocks[0]
    assert block.attention.heads == 2
    assert block.attention.query.weight.shape == (64, 128)
    assert torch.isfinite(scores(study, pruned)).all()


def test_zeros_stay_zeros_while_the_others_learn(study):
    bundle, before = study.bundle, dict(study.bundle.network.named_parameters())
    thin, _ = Magnitude(ratio=0.6, epochs=2).compress(bundle, study)
    weights = {n: p for n, p in thin.network.named_parameters() if p.ndim > 1}
    zeros = sum(int((p == 0).sum()) for p in weights.values()) / sum(p.numel() for p in weights.values())
    assert 0.59 < zeros < 0.61
    assert any(not torch.equal(p[p != 0], before[n][p != 0]) for n, p in weights.items())
    one, _ = Magnitude(ratio={"audio": 0.5}, scope="part", epochs=0).compress(bundle, study)
    assert torch.equal(one.network.encoder("image").stem.weight, bundle.network.encoder("image").stem.weight)


# --- low rank, fewer bits


def test_full_rank_is_the_layer_itself():
    torch.manual_seed(0)
    linear, conv = torch.nn.Linear(12, 7), torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
    x, pictures = torch.randn(5, 12), torch.randn(2, 3, 9, 9)
    made = factored(linear, 7)
    assert isinstance(made, LowRankLinear)
    assert torch.allclose(made(x), linear(x), atol=1e-5)
    assert torch.allclose(made.weight, linear.weight, atol=1e-5)
    made = factored(conv, 6)
    assert isinstance(made, LowRankConv)
    assert torch.allclose(made(pictures), conv(pictures), atol=1e-5)
    assert torch.allclose(made.weight, conv.weight, atol=1e-5)


def test_low_rank_takes_fewer_numbers_and_comes_back(study, tmp_path):
    low, _ = LowRank(rank=4, epochs=1).compress(study.bundle, study)
    assert count(low) < 0.6 * count(study.bundle)
    assert torch.equal(scores(study, reloaded(low, tmp_path / "low")), scores(study, low))


@pytest.mark.parametrize(("form", "size", "error"), [("int8", 0.36, 0.02), ("bf16", 0.56, 0.02)])
def test_fewer_bits_take_less_room_and_say_nearly_the_same(study, tmp_path, form, size, error):
    small, _ = Quantize(form=form).compress(study.bundle, study)
    again = reloaded(small, tmp_path / form)
    bundles.save(study.bundle, tmp_path / "whole")
    weights = [(tmp_path / name / "weights.safetensors").stat().st_size for name in (form, "whole")]
    assert weights[0] < size * weights[1]
    said, wanted = (scores(study, b).softmax(-1) for b in (again, study.bundle))
    assert (said - wanted).abs().max() < error
    part, _ = Quantize(form=form, parts="audio").compress(study.bundle, study)
    assert torch.equal(part.network.encoder("image").stem.weight, study.bundle.network.encoder("image").stem.weight)


def test_a_text_decoder_in_int8(made, tmp_path):
    table = made[1]
    settings = [*FAST, "training.epochs=1"]
    model = pf.fit(table, outputs=["words=text"], inputs=["photo"], split="split", settings=settings, quiet=True)
    study = begin(model.bundle, model._read(table, None, None), same=True)
    small, _ = Quantize(parts="words").compress(model.bundle, study)
    again = reloaded(small, tmp_path / "writer")
    numbers = study.judged[:2]
    said = [predict(b.network, study.read(b).plain, numbers=numbers)["words"].value for b in (small, again)]
    assert said[0] == said[1]
    with pytest.raises(ValueError, match="no output has scores"):
        Distill().compress(model.bundle, study)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A model of words and numbers, quick to export, its table's path, and its study."""
    table = write_table(tmp_path_factory.mktemp("plain"), rows=48)
    options = {"inputs": ["words", "area"], "split": "split", "settings": FAST, "quiet": True, "device": "cpu"}
    model = pf.fit(table, outputs=["label", "price"], **options)
    return model, table, begin(model.bundle, model._read(table, None, None), same=True)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dynamic", "static"])
def test_graphs_in_8_bits_are_smaller_and_say_nearly_the_same(plain, tmp_path, form):
    pytest.importorskip("onnxruntime")
    model, table, study = plain
    found = model.compress(table, method="quantize", form=form, to=tmp_path / form, memory=False, verbose=False)
    assert found.after.size < found.before.size
    assert found.after.outputs["label"].value > found.before.outputs["label"].value - 0.1
    small = runtime.load(tmp_path / form)
    assert small.manifest["compression"]["after"]["size"] == found.after.size
    records = pd.read_csv(table)[["words", "area"]].iloc[study.judged].astype(object).to_dict("records")
    answers, _ = small.predict(records)
    said = [answer["label"].probabilities["a"] for answer in answers]
    wanted = predict(model.bundle.network, study.cells.plain, numbers=study.judged)["label"].extra["probabilities"][
        :, 0
    ]
    assert np.abs(np.array(said) - wanted).max() < 0.2  # rounded activations cost something, and the labels stay
    assert (
        sum(answer["label"].value == ("a" if p > 0.5 else "b") for answer, p in zip(answers, wanted, strict=True)) > 10
    )


@pytest.mark.slow
def test_calibration_rows_without_a_modality(plain, tmp_path):
    pytest.importorskip("onnxruntime")
    model, table, _ = plain
    frame = pd.read_csv(table)
    frame.loc[frame.split == "train", "words"] = None
    with pytest.raises(ValueError, match="calibration rows has anything in input 'text'"):
        model.compress(frame, method="quantize", form="static", to=tmp_path / "new", verbose=False)
    assert not (tmp_path / "new").exists()


# --- chains, searching, measuring


def test_a_chain_from_front_to_end(made, tmp_path):
    model, table = made
    to = tmp_path / "small"
    found = model.compress(
        table, method="distill+prune+low_rank+quantize", to=to, epochs=1, energy=0.5, memory=False, verbose=False
    )
    assert found.after.parameters < 0.7 * found.before.parameters
    assert found.after.size < 0.3 * found.before.size
    assert found.judged_as == "test rows"
    assert len(found.done) == 4
    shown = str(found)
    assert "size on disk" in shown
    assert "1 row on cpu" in shown
    small = pf.load(to)
    assert small.facts["compression"]["after"]["size"] == found.after.size
    assert [record["kind"] for record in small.bundle.changes] == ["shapes", "low_rank", "compact"]
    judged = small.evaluate(table, where="split == 'test'", verbose=False)
    assert judged.outputs["label"].metrics["accuracy"] == found.after.outputs["label"].value
    assert small.evaluation.outputs["label"].metrics["accuracy"] == found.after.outputs["label"].value
    with pytest.raises(BundleError, match="nothing is written over"):
        model.compress(table, method="prune", to=to, verbose=False)


class Ladder:
    """Loses as much as it is asked to."""

    strengths = tuple({"loss": loss} for loss in (0.0, 0.1, 0.2, 0.3, 0.4))

    def __init__(self, *, loss: float = 0.0):
        self.loss = loss

    def compress(self, bundle, study):
        return (bundle, self.loss), "done"


def test_the_strongest_setting_within_a_loss(monkeypatch):
    class Reading:
        def __init__(self, bundle):
            self.bundle, self.split = bundle, type("S", (), {"val": np.arange(3)})()

        def judge(self, rows, bootstrap):
            lost = self.bundle[1] if isinstance(self.bundle, tuple) else 0.0
            return {"y": type("R", (), {"headline": ("accuracy",), "metrics": {"accuracy": 0.9 - lost}})()}

    class Study:
        bundle = "whole"
        cells = Reading("whole")

        def read(self, bundle):
            return Reading(bundle)

    monkeypatch.setitem(chain.registry.COMPRESSORS, "ladder", Ladder)
    for allowed, wanted in ((0.0, 0.0), (0.15, 0.1), (0.31, 0.3), (0.9, 0.4)):
        (_, loss), said = chain.compressed(chain.links("ladder"), Study(), max_drop=allowed)
        assert loss == wanted
        assert f"loss {wanted}" in said[0]
    with pytest.raises(ValueError, match="every setting loses more"):
        chain.compressed(chain.links("ladder", {"ladder": {"loss": 0.5}}), Study(), max_drop=0.1)


def test_calls_are_timed_in_turns():
    order = []
    found = measure.in_turns([lambda: order.append("a"), lambda: order.append("b")])
    assert len(found) == 2
    assert order[:6] == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own(made, tmp_path):
    model, table = made
    found = model.compress(table, method="quantize", to=tmp_path / "small", verbose=False)
    assert 50e6 < found.after.memory < 5e9


# --- what is refused


@pytest.mark.parametrize(
    ("method", "keywords", "message"),
    [
        ("prun", {}, "unknown method 'prun'; did you mean 'prune'"),
        ("prune+", {}, "unknown method ''"),
        ("quantize+prune", {}, "quantize comes last"),
        ("prune", {"energy": 0.5}, "has no setting 'energy'"),
        ("prune", {"ratio": 1.5}, "expected a share"),
        ("prune", {"ratio": "picture=0.5"}, "no part 'picture'; known: image"),
        ("prune", {"ratio": "image:0.5"}, "PART=NUMBER"),
        ("low_rank", {"energy": 0}, "energy"),
        ("quantize", {"form": "int2"}, "expected one of"),
        ("quantize", {"parts": "video"}, "no part 'video'"),
        ("quantize", {"parts": "text", "form": "static"}, "is of whole graphs"),
        ("distill", {"lessons": "logit"}, "unknown lesson 'logit'"),
        ("distill", {"width": 2.0}, "expected a factor"),
        ("distill", {"inputs": "video"}, "unknown input of the teacher"),
        ("distill", {"max_drop": 1.5}, "max_drop"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(made, tmp_path, method, keywords, message):
    with pytest.raises(ValueError, match=message):
        made[0].compress(made[1], method=method, to=tmp_path / "new", verbose=False, **keywords)
    assert not (tmp_path / "new").exists()


def test_rows_that_cannot_judge(made, tmp_path):
    model, table = made
    frame = pd.read_csv(table).assign(split="train")
    options = {"method": "quantize", "to": tmp_path / "new", "media_root": table.parent, "verbose": False}
    with pytest.raises(ValueError, match="no column 'label'"):
        model.compress(frame.drop(columns="label"), **options)
    with pytest.raises(ValueError, match="no column 'photo'"):
        model.compress(frame.drop(columns="photo"), **options)
    frame["label"] = frame["label"].where(frame.index < 0)
    with pytest.raises(ValueError, match="no row is left to judge by"):
        model.compress(frame, **options)
    assert not (tmp_path / "new").exists()


def test_changes_of_another_version(study, tmp_path):
    small, _ = Quantize().compress(study.bundle, study)
    small.changes = [{"kind": "folded"}]
    bundles.save(small, tmp_path / "odd")
    with pytest.raises(BundleError, match=r"changes.json does not fit the recipe: unknown change 'folded'"):
        bundles.load(tmp_path / "odd")


def test_what_is_no_weight_keeps_its_bits_folded_or_not(tmp_path):
    """Support vectors of a kernel, transposed by the graph, and what weighs them."""
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    from polyfuse.compress.graphs import quantised

    rng = np.random.default_rng(0)
    held = {
        "m.support": rng.normal(50, 30, (40, 6)),
        "m.weight": rng.normal(size=(40, 1)) ** 3,
        "m.bias": np.ones(1),
        "m.own": rng.normal(size=(6, 1)),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["m.support"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["x", "turned"], ["near"]),
            helper.make_node("Gemm", ["near", "m.weight", "m.bias"], ["y"]),
            helper.make_node("MatMul", ["x", "m.own"], ["z"]),
        ],
        "kernel",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in ("y", "z")],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in held.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    x = rng.normal(50, 30, (9, 6)).astype(np.float32)

    def said(name: str) -> list[np.ndarray]:
        return ort.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"]).run(None, {"x": x})

    quantised(tmp_path / "m.onnx", tmp_path / "kept.onnx", fixed=["support", "weight", "bias"])
    quantised(tmp_path / "m.onnx", tmp_path / "all.onnx")
    (y, z), (kept, z_kept), (rough, _) = said("m.onnx"), said("kept.onnx"), said("all.onnx")
    assert np.allclose(kept, y, rtol=1e-4)
    assert not np.allclose(rough, y, rtol=1e-3)
    assert np.allclose(z_kept, z, atol=0.02 * np.abs(z).max())
    assert not np.array_equal(z_kept, z)
