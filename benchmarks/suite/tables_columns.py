"""Tables of numbers and categories alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.suite.sources import islp, npm, rdataset, statsmodel, wheel
from benchmarks.suite.table import table


def _learn(name: str) -> pd.DataFrame:
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(as_frame=True).frame


@table("columns", "target", "regression")
def diabetes():
    return _learn("diabetes")


@table("columns", "target", "classification")
def wine():
    return _learn("wine")


@table("columns", "target", "classification")
def breast_cancer():
    return _learn("breast_cancer")


@table("columns", "sex", "classification")
def penguins():
    return rdataset("palmerpenguins", "penguins")


@table("columns", "logwage", "regression")
def wage():
    return islp("Wage").drop(columns=["wage", "region"])


@table("columns", "Sales", "regression")
def carseats():
    return islp("Carseats")


@table("columns", "Salary", "regression")
def hitters():
    return islp("Hitters")


@table("columns", "Purchase", "classification")
def orange_juice():
    return islp("OJ")


@table("columns", "bikers", "regression")
def bikeshare():
    return islp("Bikeshare").drop(columns=["casual", "registered"])


@table("columns", "category", "classification")
def image_segments():
    return pd.read_csv(wheel("river", "0.26.1") / "river" / "datasets" / "segment.csv.zip")


@table("columns", "affair", "classification")
def affairs():
    """Answers to a survey: noisy."""
    frame = statsmodel("fair")
    return frame.assign(affair=np.where(frame.affairs > 0, "yes", "no")).drop(columns="affairs")


@table("columns", "PID", "classification")
def party():
    """Party identification in seven steps from a survey of voters: noisy."""
    frame = statsmodel("anes96", sep="\t", quotechar="'")
    return frame.drop(columns="vote")


@table("columns", "visits", "regression")
def doctor_visits():
    """The largest: 20,190 persons and years of a health insurance experiment, a noisy count."""
    frame = statsmodel("randhie")
    return frame.rename(columns={"mdvis": "visits"})


@table("columns", "Status", "classification")
def credit():
    return rdataset("modeldata", "credit_data")


@table("columns", "class", "classification")
def cells():
    return rdataset("modeldata", "cells").drop(columns="case")


@table("columns", "price", "regression", train=9000)
def diamonds():
    return rdataset("ggplot2", "diamonds").sample(12_000, random_state=0)


@table("columns", "compressive_strength", "regression")
def concrete():
    return rdataset("modeldata", "concrete")


@table("columns", "Species", "classification")
def scat():
    """The smallest: 110 droppings of three animals."""
    return rdataset("modeldata", "scat")


@table("columns", "weight", "regression")
def births():
    """Weights of newborn children: little can be known of them."""
    return rdataset("openintro", "ncbirths").drop(columns=["lowbirthweight", "premie"])


@table("columns", "area", "classification")
def olive_oils_mislabelled():
    """Nine regions of olive oils; a fifth of all labels, test rows too, drawn anew."""
    frame = rdataset("dslabs", "olive").drop(columns="region")
    return mislabel(frame, "area", 0.2)


@table("columns", "Wildlife Size", "classification")
def bird_strikes():
    """Size of a bird that struck an aeroplane, from what was written down of the flight: noisy."""
    frame = pd.read_csv(npm("vega-datasets", "2.11.0") / "data" / "birdstrikes.csv")
    frame["month"] = pd.to_datetime(frame["Flight Date"]).dt.month
    return frame.drop(columns=["Flight Date", "Wildlife Species", "Cost Other", "Cost Repair"])


def mislabel(frame: pd.DataFrame, output: str, share: float) -> pd.DataFrame:
    """That share of labels drawn anew from the labels of all rows."""
    generator = np.random.default_rng(0)
    wrong = generator.random(len(frame)) < share
    drawn = frame[output].to_numpy()[generator.permutation(len(frame))]
    return frame.assign(**{output: np.where(wrong, drawn, frame[output])})
