"""Tags from a table to a report: words tagged under every fusion, bad cells named, and as many tags as words."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import polyfuse as pf
from polyfuse import registry
from polyfuse.data.tables import TableError, read_table
from polyfuse.data.word_columns import WordLabels, find_words
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from polyfuse.model.servant import open_bundle
from polyfuse.recipe import RecipeError
from polyfuse.serve.intake import Intake
from polyfuse.serve.problems import Problem
from polyfuse.serve.settings import Settings as Bounds

NAMES, PLACES, REST = ["Anna", "Otto", "Ida"], ["Bonn", "Rome", "Oslo"], ["went", "to", "from", "saw", "and", "."]
TINY = ("training.epochs=6", "training.batch_size=16", "width=16", "preset=plain")
NARROW = ("inputs.words.encoder.width=16", "inputs.words.encoder.embedding=8", "inputs.words.encoder.dropout=0.1")
QUICK = ("training.learning_rate=0.01", "inputs.words.learning_rate=0.02")
FAST = (*TINY, *NARROW)
TEXT = [name.replace("inputs.words", "inputs.text") for name in (*FAST, *QUICK)]  # where inputs have names of their own


def sentences(rows=60, seed=0):
    """Sentences whose names are people and whose places are places, IOB1."""
    rng = np.random.default_rng(seed)
    table = []
    for _ in range(rows):
        kinds = rng.choice(3, size=rng.integers(2, 9), p=[0.2, 0.2, 0.6])
        words = [str(rng.choice((NAMES, PLACES, REST)[kind])) for kind in kinds]
        words += [str(rng.choice(NAMES)), str(rng.choice(PLACES))]
        tags = ["I-PER" if w in NAMES else "I-LOC" if w in PLACES else "O" for w in words]
        table.append({"words": words, "tags": tags})
    return pd.DataFrame(table)


def conll(frame):
    rows = zip(frame.words, frame.tags, strict=True)
    said = ["\n".join(f"{w} {t}" for w, t in zip(words, tags, strict=True)) for words, tags in rows]
    return "-DOCSTART- O\n\n" + "\n\n".join(said) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of a ``.conll`` file, and the folder."""
    folder = tmp_path_factory.mktemp("tags")
    for name, seed in (("eng.train", 0), ("test.conll", 1)):
        (folder / name).write_text(conll(sentences(seed=seed)))
    model = pf.fit(folder / "eng.train", outputs=["tags"], settings=[*TEXT, "training.epochs=12"], quiet=True)
    model.save(folder / "ner")
    return model, folder


def test_a_file_of_sentences_is_learnt_judged_and_predicted(made):
    model, folder = made
    assert model.recipe.outputs["tags"].head.name == "tags"
    assert model.recipe.inputs["text"].named == "words"
    report = model.evaluate(folder / "test.conll", verbose=False)
    report.to_html(folder / "report.html")
    assert report.outputs["tags"].metrics["span_f1"] > 0.8
    assert report.outputs["tags"].metrics["token_accuracy"] > 0.9
    page = (folder / "report.html").read_text()
    assert page.count("<mark") > 10
    assert "<small>PER</small>" in page
    answers = model.predict(sentences(5, seed=2)[["words"]])
    again = pf.load(folder / "ner").predict(sentences(5, seed=2)[["words"]])
    assert answers.tags.tolist() == again.tags.tolist()
    assert [len(tags) for tags in answers.tags] == [len(words) for words in sentences(5, seed=2).words]
    assert {tag for tags in answers.tags for tag in tags} <= {"O", "I-PER", "B-PER", "I-LOC", "B-LOC"}


def test_predictions_go_into_a_file_of_columns_and_come_back(made):
    """In the scheme of the training tags; judging the file gives the figures of the model."""
    model, folder = made
    report = model.evaluate(folder / "test.conll", verbose=False).outputs["tags"]
    found = model.predict(folder / "test.conll", to=folder / "out.conll", verbose=False)
    assert model.written_columns == ["words", "tags"]
    again = read_table(folder / "out.conll").frame
    assert again.tags.tolist() == found.tags.tolist()
    assert model.evaluate(folder / "out.conll", verbose=False).outputs["tags"].metrics["span_f1"] == 1.0
    true = read_table(folder / "test.conll").frame
    judged = judge(Outcome("tags", true.tags.tolist(), again.tags.tolist(), classes=["O", "B-PER"]), bootstrap=0)
    assert {name: pytest.approx(value) for name, value in report.metrics.items()} == judged.metrics
    model.predict(folder / "test.conll", to=folder / "both.bio", with_table=True, verbose=False)
    assert read_table(folder / "both.bio").frame.iloc[:, 1].tolist() == true.tags.tolist()


def test_words_with_blanks_go_between_tabs_and_what_no_line_holds_is_refused(made, tmp_path):
    model, _ = made
    frame = pd.DataFrame({"words": [["New York", "Anna"], [], ["went"]]})
    found = model.predict(frame, to=tmp_path / "a.conll", verbose=False)
    again = read_table(tmp_path / "a.conll").frame
    assert again.words.tolist() == [["New York", "Anna"], ["went"]]
    assert again.tags.tolist() == [found.tags[0], found.tags[2]]
    assert "a.conll: 1 rows without words are not in it" in model.notes
    with pytest.raises(TableError, match=r"row 1: '' of 'words' cannot stand in a file of columns"):
        model.predict(pd.DataFrame({"words": [["a"], ["b", ""]]}), to=tmp_path / "b.conll", verbose=False)


def test_a_service_tags_lists_of_words_and_plain_texts(made):
    _, folder = made
    servant = open_bundle(folder / "ner", "ner")
    intake = Intake(servant.inputs, servant.outputs, Bounds())
    rows = [{"words": ["Anna", "went", "to", "New York"]}, {"words": "Anna went to Bonn"}]
    read = [intake.row(row, f"rows[{n}]").record for n, row in enumerate(rows)]
    (listed, plain), notes = servant.predict(read)
    assert (len(listed["tags"].value), plain["tags"].value) == (4, ["I-PER", "O", "O", "I-LOC"])
    assert 0 < plain["tags"].confidence <= 1
    assert not notes
    json.dumps([listed["tags"].value, plain["tags"].value])
    with pytest.raises(Problem, match=r"row\.words\[1\]: found .*, expected a word"):
        intake.row({"words": ["Anna", 3]}, "row")


def test_noise_changes_letters_and_never_the_number_of_words(made):
    model, folder = made
    report = model.robustness(folder / "test.conll", severities=(0.5, 1.0), verbose=False)
    points = report.together.curves["tags"].points
    assert report.headlines["tags"].metric == "span_f1"
    assert points[-1].value < points[0].value
    by_typos = report.inputs["text"].by_corruption["typos"]["tags"].points
    assert by_typos[-1].value < by_typos[0].value


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.text(max_size=5), max_size=12), min_size=1, max_size=3))
def test_there_are_as_many_tags_as_words(made, rows):
    found = made[0].predict(pd.DataFrame({"words": pd.Series(rows, dtype=object)}))
    assert [len(tags) for tags in found.tags] == [len(words) for words in rows]


def test_neither_neighbours_nor_padding_change_the_tags_of_a_row(made):
    frame = sentences(6, seed=4)[["words"]]
    beside = pd.concat([frame, pd.DataFrame({"words": [["Anna", "went"] * 300]})], ignore_index=True)
    alone, together = made[0].predict(frame, verbose=False), made[0].predict(beside, verbose=False).head(6)
    assert alone.tags.tolist() == together.tags.tolist()
    np.testing.assert_allclose(alone.tags_confidence, together.tags_confidence, rtol=1e-4)


def test_a_text_of_ten_thousand_words_is_tagged_to_its_end(made):
    words = ["Anna", "went", "to", "Bonn", "."] * 2000
    (found,) = made[0].predict(pd.DataFrame({"words": [words]})).tags
    assert len(found) == 10_000
    assert found[-5:-1] == ["I-PER", "O", "O", "I-LOC"]


@pytest.mark.parametrize("encoder", ["{name: gru, max_tokens: 16}", "{name: transformer, max_tokens: 16}", "ngrams"])
def test_other_encoders_read_a_text_to_its_end(encoder):
    """In windows: the last of 10,000 words are tagged by their tokens, as those of a short text are."""
    settings = [*TINY, "training.learning_rate=0.01", "inputs.words.learning_rate=0.02", "training.epochs=12"]
    own = encoder if encoder[0] == "{" else f"{{name: {encoder}}}"
    narrow = own[:-1] + ", width: 16}"
    model = pf.fit(
        sentences(120),
        outputs=["tags"],
        inputs=["words@words=text"],
        quiet=True,
        settings=[*settings, f"inputs.words.encoder={narrow}"],
    )
    kept = model.recipe.inputs["words"].part.keywords
    assert kept.get("whole") or kept["max_tokens"] == "all"
    words = ["Anna", "went", "to", "Bonn", "and", "saw", "Otto", "."] * 1250
    long, short = model.predict(pd.DataFrame({"words": [words, words[:8]]}), verbose=False).tags
    assert len(long) == 10_000
    assert long[-8:] == short
    assert short[0] == "I-PER"
    assert short[3] == "I-LOC"


def test_capitals_are_told_apart_where_words_are_tagged():
    frame = pd.DataFrame({"words": [["May", "may", "go"], ["may", "May"], ["we", "May", "may", "may"]] * 30})
    frame["tags"] = frame.words.map(lambda words: ["B-M" if word == "May" else "O" for word in words])
    for encoder in ("gru", "ngrams"):
        settings = [*TINY, "training.learning_rate=0.01", "inputs.words.learning_rate=0.02", "training.epochs=6"]
        made = pf.fit(frame, outputs=["tags"], inputs=[f"words@words=text:{encoder}"], settings=settings, quiet=True)
        assert made.evaluate(frame, verbose=False).outputs["tags"].metrics["span_f1"] == 1.0
        settings.append(f"inputs.words.encoder={{name: {encoder}, case: false}}")
        blind = pf.fit(frame, outputs=["tags"], inputs=["words@words=text"], settings=settings, quiet=True)
        assert blind.evaluate(frame, verbose=False).outputs["tags"].metrics["span_f1"] < 0.9


def test_a_row_with_one_tag_too_few_is_named(tmp_path):
    frame = sentences()
    frame.at[7, "tags"] = frame.tags[7][1:]
    model = pf.fit(frame, outputs=["tags"], settings=[*TEXT, "training.epochs=1"], quiet=True)
    notes = " ".join(model.notes)
    count = len(frame.words[7])
    assert (
        f"1 cell counts as missing, it cannot be read; the first, the DataFrame, row 7: {count - 1} tags for {count}"
        in notes
    )
    frame["tags"] = [tags[1:] for tags in frame.tags]
    with pytest.raises(RecipeError, match="expected a list of tags as long as the list of words"):
        pf.fit(frame, outputs=["tags=tags"], settings=TEXT, quiet=True)


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        (
            [{"start": 0, "end": 4, "label": "PER"}, {"start": 2, "end": 8, "label": "LOC"}],
            "span 2 to 8 .LOC. overlaps",
        ),
        ([{"start": 9, "end": 99, "label": "LOC"}], "span 9 to 99 lies outside the text of 19 characters"),
        ([{"start": 9, "end": 13, "label": "LOC"}], "span 9 to 13 cuts a character"),
    ],
)
def test_spans_that_cannot_be_are_counted_with_their_row(spans, reason):
    texts = ["Anna saw Bonn today"] * 40
    frame = pd.DataFrame({"text": texts, "spans": [[{"start": 0, "end": 4, "label": "PER"}]] * 40})
    frame["text"] = [f"{text[:-5]}{word}" for text, word in zip(texts, ["today", "later"] * 20, strict=True)]
    frame.at[5, "spans"] = spans
    if "cuts" in reason:
        frame.at[5, "text"] = "Anna saw cafe\u0301 today"
    model = pf.fit(frame, outputs=["spans"], settings=[*TEXT, "training.epochs=1"], quiet=True)
    notes = " ".join(model.notes)
    assert "1 cell counts as missing" in notes
    assert re.search(f"row 5: {reason}", notes), notes


def test_an_unseen_tag_is_refused_by_row_or_left_out(made):
    model, _ = made
    frame = sentences(10, seed=3)
    frame.at[4, "tags"] = ["I-ORG", *frame.tags[4][1:]]
    with pytest.raises(ValueError, match=r"row 4: tag 'I-ORG' was not seen in training"):
        model.evaluate(frame, verbose=False)
    assert model.evaluate(frame, unseen="skip", verbose=False).outputs["tags"].rows == 9


def test_an_empty_sentence_is_a_row_without_a_target(made):
    model, _ = made
    frame = sentences(10, seed=3)
    frame.at[2, "words"], frame.at[2, "tags"] = [], []
    assert model.evaluate(frame, verbose=False).outputs["tags"].rows == 9
    assert model.predict(frame[["words"]]).tags[2] == []


def test_spans_over_plain_texts(tmp_path):
    rows = []
    for words, tags in zip(*(sentences(80)[name] for name in ("words", "tags")), strict=True):
        text, spans = "", []
        for word, tag in zip(words, tags, strict=True):
            start = len(text)
            text += f"{word} "
            if tag != "O":
                spans.append({"start": start, "end": start + len(word), "label": tag[2:]})
        rows.append({"text": text.strip(), "spans": json.dumps(spans)})
    frame = pd.DataFrame(rows)
    model = pf.fit(frame, outputs=["spans"], settings=[*TEXT, "training.epochs=12"], quiet=True)
    assert model.recipe.outputs["spans"].head.keywords["form"] == "spans"
    assert model.evaluate(frame, verbose=False).outputs["spans"].metrics["span_f1"] > 0.8
    with pytest.raises(ValueError, match="output 'spans' says spans of characters; write"):
        model.predict(frame, to=tmp_path / "spans.conll")
    (found,) = model.predict(pd.DataFrame({"text": ["Anna saw Rome."]})).spans
    assert {"start": 9, "end": 13, "label": "LOC"} in found


@pytest.mark.parametrize(
    ("fusion", "crf", "epochs", "least"),  # words alone are right in a third
    [
        ("concat", False, 12, 0.9),
        ("concat", True, 12, 0.9),
        pytest.param("attention", False, 30, 0.7, marks=pytest.mark.slow),
    ],
)
def test_a_picture_reaches_every_word(fusion, crf, epochs, least):
    """Three colours named, and a picture of one of them: the words alone know a third."""
    rng = np.random.default_rng(0)
    colours = {"red": 0, "green": 1, "blue": 2}
    rows = []
    for _ in range(160):
        words = list(rng.permutation(list(colours))) + ["end"] * int(rng.integers(0, 2))
        shown = str(rng.choice(list(colours)))
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[..., colours[shown]] = 255
        rows.append(
            {"words": list(map(str, words)), "photo": picture, "tags": ["B-HIT" if w == shown else "O" for w in words]}
        )
    frame = pd.DataFrame(rows)
    inputs = ["words@words=text:words", "photo@photo=image:statistics"]
    model = pf.fit(
        frame,
        outputs=["tags"],
        inputs=inputs,
        fusion=fusion,
        quiet=True,
        settings=[*FAST, *QUICK, f"outputs.tags.head.crf={str(crf).lower()}", f"training.epochs={epochs}", "width=32"],
    )
    report = model.evaluate(frame.tail(60), verbose=False)
    assert report.outputs["tags"].metrics["span_f1"] > least


@pytest.mark.slow
def test_fusions_and_single_inputs_are_compared_by_sentences(tmp_path):
    frame = sentences(60).assign(size=np.arange(60.0) % 7)
    frame["split"] = np.resize(["train", "train", "val", "test"], len(frame))
    found = pf.compare(
        frame,
        outputs=["tags"],
        inputs=["words@words=text:words", "size"],
        split="split",
        fusions="concat,gated",
        seeds=1,
        settings=[*FAST, *QUICK, "training.epochs=8"],
        to=tmp_path,
    ).to_json()
    assert found["metric"] == "span_f1"
    assert {row["fusion"] for row in found["fusions"]} == {"concat", "gated"}
    single = {row["input"]: row["span_f1"] for row in found["single"]}
    assert single["words"] > single["columns"] + 0.3  # a number says nothing of words


def test_what_a_missing_input_costs_is_told_and_noise_as_well():
    rows = sentences(80)
    frame = rows.assign(size=np.arange(80.0) % 7)
    model = pf.fit(
        frame, outputs=["tags"], inputs=["words@words=text:words", "size"], quiet=True,
        settings=[*FAST, *QUICK, "training.epochs=12"],
    )  # fmt: skip
    report = model.evaluate(frame, verbose=False)
    lines = {frozenset(line["inputs"]): line["tags"]["span_f1"] for line in report.missing_modality}
    assert lines[frozenset({"words", "columns"})] > 0.8
    assert lines[frozenset({"columns"})] < 0.5 < lines[frozenset({"words"})]
    noisy = model.robustness(frame, severities=(1.0,), verbose=False)
    assert set(noisy.inputs) == {"words", "columns"}
    assert noisy.together.curves["tags"].points[-1].value < 0.8


@pytest.mark.parametrize("fusion", [name for name in registry.FUSIONS if name != "decision"])
def test_words_meet_their_tokens_under_every_fusion(fusion):
    torch.manual_seed(0)
    frame = sentences(24).assign(size=np.arange(24.0) % 7)
    model = pf.fit(
        frame, outputs=["tags"], inputs=["words@words=text:words", "size"], fusion=fusion, quiet=True,
        settings=[*FAST, "training.epochs=1"],
    )  # fmt: skip
    found = model.predict(frame[["words", "size"]])
    assert [len(tags) for tags in found.tags] == [len(words) for words in frame.words]


def test_a_decision_and_unimodal_are_refused_by_name():
    frame = sentences(24).assign(size=np.arange(24.0) % 7)
    inputs = ["words@words=text:words", "size"]
    with pytest.raises(
        RecipeError, match=r"decision joins scores of single inputs, and output 'tags' \(tags\) has none"
    ):
        pf.fit(frame, outputs=["tags"], inputs=inputs, fusion="decision", settings=FAST, quiet=True)
    with pytest.raises(RecipeError, match="unimodal works on scores of single inputs"):
        pf.fit(frame, outputs=["tags"], inputs=inputs, settings=[*FAST, "objectives=[{name: unimodal}]"], quiet=True)


def test_other_columns_of_labels_are_no_inputs():
    frame = sentences().assign(pos=lambda t: [["N" if w[0].isupper() else "V" for w in words] for words in t.words])
    model = pf.fit(frame, outputs=["tags"], settings=[*TINY, "training.epochs=1"], quiet=True)
    assert {c for i in model.recipe.inputs.values() for c in i.columns} == {"words"}
    assert any("column 'pos' is left out: a label per word of column 'words'" in n for n in model.notes)


def test_files_of_columns(tmp_path):
    for name in ("a.conll", "a.iob", "a.bio", "eng.train"):
        (tmp_path / name).write_text("-DOCSTART- -X- O\n\nEU NNP B-ORG\nwins VB O\n\n\nRome NNP B-LOC\n")
        table = read_table(tmp_path / name)
        assert list(table.frame) == ["words", "pos", "tags"]
        assert table.frame.words.tolist() == [["EU", "wins"], ["Rome"]]
        assert "1 marks of documents are left out" in table.notes[0]
    (tmp_path / "bad.conll").write_text("EU NNP B-ORG\nwins VB\nit PRP O\n")
    with pytest.raises(TableError, match=r"bad.conll: line 2 has 2 columns, where most have 3"):
        read_table(tmp_path / "bad.conll")
    (tmp_path / "empty.conll").write_text("\n\n")
    with pytest.raises(TableError, match="no line holds a word"):
        read_table(tmp_path / "empty.conll")
    (tmp_path / "letter.txtx").write_text("Dear all,\nthis is no table.\n")
    with pytest.raises(TableError, match="unknown kind of file"):
        read_table(tmp_path / "letter.txtx")


def test_lists_written_into_a_csv_file(tmp_path):
    frame = sentences()
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = pf.fit(tmp_path / "t.csv", outputs=["tags"], settings=[*TINY, "training.epochs=1"], quiet=True)
    found = model.predict(tmp_path / "t.csv")
    assert [len(tags) for tags in found.tags] == [len(words) for words in frame.words]


def test_what_needs_scores_refuses_by_name(made, tmp_path):
    model, _ = made
    with pytest.raises(ValueError, match="no output has scores to explain"):
        model.explain(sentences(1))
    with pytest.raises(ValueError, match="output 'tags': the head tags cannot be exported"):
        model.export(tmp_path / "onnx")


def test_whoever_names_the_words_may_have_sentences_of_one_length():
    frame = pd.DataFrame(
        {"words": [[f"w{n % 9}", "b", f"v{n % 7}"] for n in range(40)], "tags": [["O", "X", "O"]] * 40}
    )
    assert find_words(frame, "tags") is None  # lists of one length say little of each other
    assert find_words(frame, "tags", ["words"], named=True) == WordLabels("words", "tags", 2)
    frame.at[3, "tags"] = ["O"]
    assert find_words(frame, "tags", ["words"], named=True) is not None  # one broken row is named later
