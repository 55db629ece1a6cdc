"""Texts that the published implementations were run on, and what they gave; see the tests that read it."""

TEXTS = [
    "A brown dog runs through the snow.",
    "two children are playing on a red swing",
    "A man doesn't ride his bicycle",
    "the the the the",
    "",
    "Three people, walking down a busy street!",
]
REFERENCES = [
    ["A brown dog is running in the snow.", "The dog runs through deep snow .", "a dog plays in snow"],
    ["Two kids play on the swings.", "Two children are playing on a swing"],
    ["A man rides a bike.", "The man can't ride his bicycles today", "A cyclist", "someone rides"],
    ["The cat sat on the mat."],
    ["A boat on a lake", "Boats"],
    ["Three people walk down a busy street.", "People are walking (fast) in the city, at 10:30 a.m."],
]
