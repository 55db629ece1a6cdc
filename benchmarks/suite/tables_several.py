"""Tables of several modalities at once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.suite.sources import npm, rdataset, shared
from benchmarks.suite.table import table
from benchmarks.suite.tables_picture import emoji, fights, handwriting, houses, icons, photographs
from benchmarks.suite.tables_sound import digits
from benchmarks.suite.tables_text import packages


@table("several", "price", "regression", family="houses", image=["frontal"])
def house_front_and_columns():
    """One photograph and four columns to the price of a house."""
    return houses()[["bedrooms", "bathrooms", "area", "zipcode", "frontal", "price"]].astype({"zipcode": str})


@table("several", "bedrooms", "regression", family="houses", image=["bathroom"])
def house_bathroom():
    """The photograph of a bathroom and columns to the number of bedrooms: the photograph says little."""
    return houses()[["bathrooms", "area", "price", "bathroom", "bedrooms"]]


@table("several", "subgroup", "classification", family="emoji", image=["image"], text=["name_en"])
def emoji_picture_and_name():
    """Picture and English name to one of the frequent subgroups."""
    frame = emoji()[["image", "name_en", "subgroup"]]
    return frame[frame.groupby("subgroup").subgroup.transform("size") >= 30]


@table("several", "label", "classification", family="fights", group="source", image=["frame"], audio=["sound"])
def fight_frame_and_sound():
    """First frame and sound of a clip to whether there is a fight, sources unseen."""
    return fights()


@table("several", "answer", "classification", group="image_id", image=["image"], text=["question"])
def picture_questions():
    """2,000 questions about pictures of shapes, pictures unseen."""
    frame = pd.read_csv(shared("easy_vqa", "train.csv")).rename(columns={"image": "image_id"})
    chosen = pd.Series(frame.image_id.unique()).sample(frac=1, random_state=0)
    frame = frame[frame.image_id.isin(chosen[:220])].head(2000)
    contents = {name: (shared("easy_vqa") / name).read_bytes() for name in frame.image_id.unique()}
    return frame.assign(image=frame.image_id.map(contents))


@table("several", "words", "regression", family="flickr8k", image=["image"], text=["caption"])
def caption_lengths():
    """A photograph and its shortest English caption to the mean number of characters of its Chinese ones: noisy."""
    frame = photographs()
    lengths = [float(np.mean([len(text) for text in texts])) for texts in frame.captions_zh]
    shortest = [min(texts, key=len) for texts in frame.captions_en]
    return pd.DataFrame({"image": frame.image, "caption": shortest, "words": lengths})


@table("several", "rating", "regression", text=["title", "director", "distributor"])
def films():
    """Titles, people, money and kinds of films to the rating of their viewers."""
    frame = pd.read_json(npm("vega-datasets", "2.11.0") / "data" / "movies.json")
    frame.columns = [str(name).lower().replace(" ", "_") for name in frame]
    frame = frame.rename(columns={"imdb_rating": "rating"})
    frame["year"] = frame.release_date.astype(str).str.extract(r"(\d{4})$")[0].astype(float)
    for name in ("us_gross", "worldwide_gross", "production_budget"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame = frame.drop(columns=["rotten_tomatoes_rating", "release_date", "us_dvd_sales"]).dropna(subset=["rating"])
    return frame.fillna({"title": "", "director": "", "distributor": ""})


@table("several", "log_size", "regression", family="debian", text=["Description", "Maintainer"])
def package_sizes():
    """What is said of a Debian package to the logarithm of its size."""
    frame = packages().sample(4000, random_state=0)
    frame["depends"] = frame.Depends.fillna("").str.count(",") + frame.Depends.notna()
    frame["log_size"] = np.log10(1 + frame["Installed-Size"].astype(float))
    return frame[["Section", "Priority", "Architecture", "depends", "Description", "Maintainer", "log_size"]]


@table("several", "log_retweets", "regression", family="trump", text=["text"])
def tweets_spread():
    """Text, device and time of tweets of one account to the logarithm of how often they were passed on."""
    frame = rdataset("dslabs", "trump_tweets")
    frame = frame[frame.is_retweet.astype(str) == "False"].drop_duplicates("text").sample(8000, random_state=0)
    time = pd.to_datetime(frame.created_at)
    frame = frame.assign(year=time.dt.year, month=time.dt.month, hour=time.dt.hour)
    frame["log_retweets"] = np.log10(1 + frame.retweet_count.astype(float))
    return frame[["text", "source", "year", "month", "hour", "log_retweets"]]


@table("several", "type", "classification", text=["description", "entity"])
def breaches():
    """What was written of lost health records, with the place and the number of persons, to the kind of loss."""
    frame = rdataset("Ecdat", "HHSCyberSecurityBreaches").rename(columns={
        "Name.of.Covered.Entity": "entity", "Covered.Entity.Type": "covered", "Individuals.Affected": "persons",
        "Type.of.Breach": "type", "Location.of.Breached.Information": "location", "Web.Description": "description",
        "State": "state", "Business.Associate.Present": "associate"})  # fmt: skip
    frame = frame.drop(columns="Breach.Submission.Date").fillna({"description": "", "entity": ""})
    frame["description"] = frame.description.astype(str).str[:400]
    frame = frame.assign(type=frame.type.astype(str))
    return frame[frame.groupby("type").type.transform("size") >= 20]


@table("several", "effect", "classification", text=["remarks"])
def bird_reports():
    """Remarks and columns on birds that struck aeroplanes to the effect on the flight."""
    frame = rdataset("openintro", "birds").astype({"effect": object})
    frame = frame.assign(effect=frame.effect.fillna("None").replace("", "None"), remarks=frame.remarks.fillna(""))
    frame = frame[frame.groupby("effect").effect.transform("size") >= 100].drop(columns=["opid", "date"])
    return _balanced(frame)


def _balanced(frame: pd.DataFrame) -> pd.DataFrame:
    """At most 900 rows of each effect, so that one kind is not nearly all."""
    return frame.sample(frac=1, random_state=0).groupby("effect").head(900)


@table("several", "context", "classification", family="icons", image=["image"], text=["name"])
def icon_picture_and_name():
    """Picture and file name of icons to their context."""
    contexts = ["actions", "apps", "devices", "mimetypes", "places", "status", "categories"]
    frame = icons("gnome-icon-theme", "gnome/48x48", contexts)
    return frame.assign(name=frame.name.str.replace(r"[-_.]", " ", regex=True))


@table("several", "digit", "classification", family="fsdd", train=300, test=600, image=["written"], audio=["spoken"])
def digits_written_and_spoken():
    """A written and a spoken digit, 300 rows; a third of the sounds say another digit."""
    heard, seen = digits().sample(frac=1, random_state=0), handwriting().sample(frac=1, random_state=1)
    rows = []
    generator = np.random.default_rng(0)
    for digit in range(10):
        sounds = heard[heard.digit == digit].audio.tolist()[:200]
        pictures = seen[seen.digit == digit].image.tolist()[:200]
        rows += [{"spoken": s, "written": p, "digit": digit} for s, p in zip(sounds, pictures, strict=False)]
    frame = pd.DataFrame(rows)
    wrong = generator.random(len(frame)) < 0.35
    sounds = frame.spoken.to_numpy().copy()
    sounds[wrong] = generator.permutation(sounds[wrong])
    return frame.assign(spoken=sounds)


@table("several", "calories", "regression", text=["item"])
def fast_food():
    """Names of dishes, restaurant and some of what is in them to their calories: 500 rows."""
    frame = rdataset("openintro", "fastfood")
    return frame[["restaurant", "item", "sodium", "sugar", "fiber", "calories"]]


@table("several", "sex", "classification", text=["firstname"])
def applicants():
    """Columns of made job applications and a first name to the applicant's sex: the name says nearly all."""
    frame = rdataset("openintro", "resume").rename(columns={"gender": "sex"})
    return frame.drop(columns=["job_ad_id"]).sample(1500, random_state=0)
