"""Texts are written without torch as the model writes them: greedy, by beams, drawn, under rules, along time."""

from __future__ import annotations

import numpy as np
import pytest

import polyfuse as pf
from polyfuse import runtime
from polyfuse.data.cells.spelling import BEGIN, END
from polyfuse.runtime.writing import Allowed, Writer
from tests.export.conftest import records_of
from tests.tiny import FAST

RULES = {"begin": BEGIN, "end": END, "banned": [0, BEGIN], "most": 6, "least": 1, "no_repeat": 0, "answers": None}
HOW = {"beams": 1, "length_penalty": 1.0, "sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 0}
SPELLER = {"unit": "char", "pieces": list("abc")}


def chain(given):
    """A step graph that says a, b, c and then the end, whatever was before it; 4 to 6 are the letters."""
    following = {BEGIN: 4, 4: 5, 5: 6, 6: END}
    logits = np.full((len(given["ids"]), 7), -5.0, np.float32)
    for row, unit in enumerate(given["ids"]):
        logits[row, following.get(int(unit), END)] = 5.0
    return {"logits": logits, "next.count": given["count"] + 1}


@pytest.mark.parametrize("beams", [1, 3])
def test_units_come_one_after_the_other_until_the_end(beams):
    writer = Writer({"speller": SPELLER, "rules": RULES, "how": HOW | {"beams": beams}}, chain)
    texts, sure = writer.write({"context_x": np.zeros((2, 3)), "count": np.zeros((2, 1))})
    assert texts == ["abc", "abc"]
    assert ((sure > 0.99) & (sure <= 1)).all()
    streamed = list(writer.stream({"context_x": np.zeros((1, 3)), "count": np.zeros((1, 1))}))
    assert streamed == (["abc"] if beams > 1 else ["a", "ab", "abc", "abc"])


def test_rules_leave_units_out():
    logits = np.zeros((1, 7), np.float32)
    closed = Allowed(RULES | {"answers": [[4, 5], [5]]})
    assert np.flatnonzero(np.isfinite(closed(logits, np.zeros((1, 0), int), [()])[0])).tolist() == [4, 5]
    assert np.flatnonzero(np.isfinite(closed(logits, np.array([[4]]), [(4,)])[0])).tolist() == [5]
    once = Allowed(RULES | {"no_repeat": 2})
    assert np.isinf(once(logits, np.array([[4, 5, 4]]), [()])[0, 5])
    assert np.isfinite(once(logits, np.array([[4, 5, 6]]), [()])[0, 5])


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["transformer", "gru", "{name: ctc, stretch: 12}"])
def test_every_decoder_writes_as_the_model_does(decoder, table, tmp_path):
    settings = [*FAST, f"outputs.words.head.decoder={decoder}", "training.epochs=8"]
    inputs = ["columns@area,kind=columns", "sound=audio"]
    model = pf.fit(str(table), outputs=["words=text"], inputs=inputs, settings=settings, verbose=False)
    records, wanted = records_of(table)[:20], model.predict(str(table), verbose=False).iloc[:20]
    served = runtime.load(model.export(tmp_path / "folder"), media_root=table.parent)
    answers, _ = served.predict(records)
    assert [row["words"].value for row in answers] == wanted["words"].tolist()
    sure = [row["words"].confidence for row in answers]
    np.testing.assert_allclose(sure, wanted["words_confidence"], atol=1e-4)
    assert list(served.stream(records[3], "words"))[-1] == answers[3]["words"].value
    other = {"beams": 3}
    how = served._writers["words"].how
    how |= other
    wanted = model.predict(str(table), decode=other, verbose=False).iloc[:20]
    assert [row["words"].value for row in served.predict(records)[0]] == wanted["words"].tolist()
