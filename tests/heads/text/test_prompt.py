"""Prompts over columns of the table: read, filled in row by row, kept with the model, refused where they cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import polyfuse
from polyfuse.cli import app
from polyfuse.data.cells.plain_text import PlainText, plain_texts
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.spelling import Speller
from polyfuse.heads.text.prompt import Template
from polyfuse.records import Cells
from polyfuse.registry import head
from tests.heads.text.test_lm import folder  # noqa: F401 - a fixture

TINY = ("training.epochs=2", "width=16", "preset=plain", "data.fractions=[1,0,0]", "training.learning_rate=0.01")


def test_a_template_names_columns_and_keeps_braces():
    made = Template("{{x}} of {price.eur}: {a:b} {price.eur}?")
    assert made.columns == ["price.eur", "a:b"]
    assert made.filled({"price.eur": "3", "a:b": "{c}"}) == "{x} of 3: {c} 3?"
    assert made.filled({}) == "{x} of :  ?"


@pytest.mark.parametrize("text", ["{", "a } b", "what {}", "{{a}", 3])
def test_a_template_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="prompt"):
        Template(text)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=4))
def test_any_text_is_read_as_it_is_written(texts):
    made = PlainText()
    cells = made.encode(texts, Limits())
    found = plain_texts({name: torch.from_numpy(array) for name, array in made.collate(cells).items()})
    assert found == [text if text.strip() and len(cell) else "" for text, cell in zip(texts, cells, strict=True)]


def test_rows_share_cells_and_miss_them():
    fields = {name: torch.from_numpy(array) for name, array in PlainText().collate(_cells(["w1 ü", 7.0])).items()}
    cells = Cells(fields, torch.tensor([[0, 1], [-1, 0], [1, -1]]))
    assert Template("{a}-{b}").of_rows(3, cells, str.upper) == ["W1 Ü-7", "-W1 Ü", "7-"]
    with pytest.raises(ValueError, match="no cells of a, b"):
        Template("{a}-{b}").of_rows(3, None, str)


def _cells(values):
    return PlainText().encode(values, Limits())


def test_a_cell_cannot_write_the_signs_of_a_conversation(folder):  # noqa: F811
    speller = Speller.from_checkpoint(str(folder / "tokenizer.json"), 3)
    assert speller.strip_special_tokens("w1 [SEP] {w2}") == "w1  {w2}"
    speller.tokenizer.add_special_tokens(["<|end|>"])
    again = Speller("checkpoint", tokenizer=speller.tokenizer, end=3)
    assert again.strip_special_tokens("w1 <|en<|end|>d|>w2") == "w1 w2"


def table(rows: int = 48) -> pd.DataFrame:
    """A number, a question and something beside it; the answer follows the question."""
    rng = np.random.default_rng(0)
    asked = [f"w{20 + n % 3} about thing {n} of all" for n in range(rows)]
    frame = pd.DataFrame({"x": rng.normal(size=rows), "question": asked, "count": rng.integers(9, size=rows)})
    frame["said"] = [("w1", "w2 w3", "w4")[n % 3] for n in range(rows)]
    frame.loc[0, "question"], frame.loc[1, ["x"]] = None, None
    frame.loc[2, "question"] = "  "
    return frame


def lm(folder, **keywords) -> str:  # noqa: F811
    """A setting."""
    own = {"name": "lm", "path": str(folder), **keywords}
    return f"outputs.said.head.decoder={yaml.safe_dump(own, default_flow_style=True, width=999).strip()}"


PROMPT = "w7 {question} w8 {count}"


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):  # noqa: F811
    """A model made by a recipe on the command line, its checkpoint gone since then; and what was said."""
    place = tmp_path_factory.mktemp("prompt")
    shutil.copytree(folder, place / "tiny")
    table().to_csv(place / "t.csv", index=False)
    decoder = {"name": "lm", "path": "tiny", "train": "lora", "prompt": "w7"}
    recipe = {"data": {"table": "t.csv"}, "outputs": {"said": {"column": "said", "head": {"name": "text"}}}}
    recipe["outputs"]["said"]["head"]["decoder"] = decoder
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    wanted = [argument for text in TINY for argument in ("--set", text)]
    wanted += ["--set", f'outputs.said.head.decoder.prompt="{PROMPT}"', "--to", str(place / "model")]
    done = CliRunner().invoke(app, ["fit", str(place / "recipe.yaml"), *wanted])
    assert done.exit_code == 0, done.output
    shutil.rmtree(place / "tiny")
    return polyfuse.load(place / "model"), " ".join(done.output.split()), place


def test_what_only_a_prompt_names_is_no_input(made):
    model, said, _ = made
    assert {c for item in model.recipe.inputs.values() for c in item.columns} == {"x"}
    assert model.recipe.outputs["said"].head.keywords["decoder"]["prompt"] == PROMPT
    assert "2 of 48 rows miss a cell that its head reads itself" in said
    assert "question" in repr(model.summary())


def test_the_prompt_is_read_at_prediction_without_targets(made):
    model, _, _ = made
    frame = table().drop(columns="said")
    one = model.predict(frame, verbose=False)
    other = model.predict(frame.assign(question="w30 w31 w32"), verbose=False)
    assert (one.said_confidence[3:] != other.said_confidence[3:]).all()
    assert not any("'said': 1 of" in note for note in model.notes)
    assert model.predict({"x": 1.0, "question": "w20", "count": 3}, verbose=False).said.notna().all()


def test_missing_cells_are_counted_and_a_question_alone_is_answered(made):
    model, _, _ = made
    nothing = table().assign(x=np.nan)
    found = model.predict(nothing, verbose=False)
    assert any("2 of 48 rows miss a cell that its head reads itself" in note for note in model.notes)
    assert len(found) == 48
    changed = model.predict(nothing.assign(question="w30"), verbose=False)
    assert (found.said_confidence[3:] != changed.said_confidence[3:]).all()
    assert model.predict(nothing.assign(question=None, count=None), verbose=False).said_confidence.nunique() == 1


def test_a_table_without_a_column_of_the_prompt_is_refused(made):
    model, _, place = made
    with pytest.raises(ValueError, match=r"reads column 'question', which .* does not have"):
        model.predict(table().drop(columns="question"), verbose=False)
    table().rename(columns={"count": "counts"}).to_csv(place / "other.csv", index=False)
    asked = ["predict", str(place / "model"), str(place / "other.csv"), "--to", str(place / "found.csv")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code != 0
    assert "did you mean 'counts'" in done.output + str(done.exception)
    assert model.embed(table()[["x"]]).shape == (48, 16)  # no words are needed where none are written


def test_it_is_judged_with_its_prompt(made):
    model, _, _ = made
    report = model.evaluate(table(), importance=20, verbose=False)
    assert {row["column"] for row in report.importance} == {"x", "question", "count"}


@pytest.mark.slow
def test_a_fresh_process_says_the_same_without_the_checkpoint(made):
    """The bundle holds adapters, projector, tokenizer and the model that they adapt, bit for bit."""
    model, _, place = made
    code = (
        "import sys, polyfuse\n"
        "found = polyfuse.load(sys.argv[1]).predict(sys.argv[2], verbose=False)\n"
        "found.to_pickle(sys.argv[3])"
    )
    run = [sys.executable, "-c", code, str(place / "model"), str(place / "t.csv"), str(place / "found.pickle")]
    subprocess.run(run, check=True)
    assert pd.read_pickle(place / "found.pickle").equals(model.predict(place / "t.csv", verbose=False))
    kept = {file.name for file in (place / "model" / "preprocessing" / "out_0").iterdir()}
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= kept


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{quesiton}", "reads column 'quesiton', which .* did you mean 'question'"),
        ("{colour}", "does not have. Its columns: x, question, count, said"),
        ("{said}", "which is learnt"),
        ("{x", "prompt '{x': expected the name of a column between braces"),
    ],
)
def test_prompts_that_cannot_be(folder, prompt, said):  # noqa: F811
    with pytest.raises(ValueError, match=said):
        polyfuse.fit(table(), outputs=["said=text"], settings=[lm(folder, prompt=prompt)], quiet=True)


def test_a_column_may_be_an_input_and_stand_in_a_prompt(folder):  # noqa: F811
    own = [lm(folder, prompt="{question}", way="gated", every=1), *TINY]
    model = polyfuse.fit(table(), outputs=["said=text"], inputs=["x", "question=text"], settings=own, quiet=True)
    assert {c for item in model.recipe.inputs.values() for c in item.columns} == {"x", "question"}


def test_a_target_of_no_length_and_of_one_word(folder):  # noqa: F811
    none = [lm(folder), "outputs.said.head.max_length=0"]
    with pytest.raises(ValueError, match="max_length: expected 'auto' or a number from 1 on, found 0"):
        polyfuse.fit(table(), outputs=["said=text"], settings=none, quiet=True)
    with pytest.raises(ValueError, match="max_length: expected a whole number from 1 on, found 0"):
        head("text").wants(decoder={"name": "lm", "path": str(folder)}, decode={"max_length": 0})
    frame = table().assign(said="w1")
    own = [lm(folder, train="full", pack=64), *TINY, "training.epochs=8"]
    model = polyfuse.fit(frame, outputs=["said=text"], settings=own, quiet=True)
    assert any("every training text is the same" in note for note in model.notes)
    assert (model.predict(frame, verbose=False).said == "w1").all()


def test_a_decoder_that_is_told_no_columns_refuses_them():
    decoder = {"name": "pretrained", "path": "some/folder", "prompt": "a picture of {thing}"}
    with pytest.raises(ValueError, match=r"pretrained begins every text alike, and \{thing\}.*lm"):
        head("text").columns(decoder=decoder)
    assert head("text").columns(decoder={**decoder, "prompt": "a picture of"}) == []
