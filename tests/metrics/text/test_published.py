"""Every metric gives what its published implementation gave of the same texts."""

from __future__ import annotations

import numpy as np
import pytest

from polyfuse.metrics.text import answers, bleu, chrf, cider, diversity, edits, meteor, rouge, stem, tokens
from tests.metrics.text.examples import REFERENCES, TEXTS

WORDS = [tokens.caption_words(text) for text in TEXTS]
SAID = [[tokens.caption_words(text) for text in row] for row in REFERENCES]


def near(value):
    return pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A man's dog doesn't bark, it can't.", "a man 's dog does n't bark it ca n't"),
        ("Two t-shirts (red) cost $3.50 and/or 1,000!", "two t-shirts -lrb- red -rrb- cost $ 3.50 and/or 1,000"),
        ('I cannot gonna go... "OK"; 10:30 a.m. in the U.S.', "i can not gon na go ok 10:30 a.m. in the u.s."),
        ("the dogs' bowl -- they'll eat 50% & more...", "the dogs bowl they 'll eat 50 % & more"),
        ("lemme gimme d'you 'tis 'twas y'all o'clock", "lem me gim me d'you 't is 't was y' all o'clock"),
        ("Mr. Smith lives at St. John's, No. 5.", "mr. smith lives at st. john 's no. 5"),
        ("café “quoted” it’s — dash…", "café quoted it 's dash"),
        ("-5 degrees, 1/2 cup, 3-4 men", "-5 degrees 1/2 cup 3-4 men"),
        ("email me@x.com or http://a.b/c?d=1 #tag @me", "email me@x.com or http://a.b/c?d=1 #tag @me"),
    ],
)
def test_caption_words_are_those_of_the_ptb_tokenizer(text, found):
    """Stanford CoreNLP 3.4.1 with -lowerCase, less the punctuation that pycocoevalcap 1.2 removes.

    Of the 40,000 English captions of Flickr8k, 39,996 are split the same.
    """
    assert " ".join(tokens.caption_words(text)) == found


def test_tokens_of_sacrebleu():
    """Sacrebleu 2.6.0."""
    assert " ".join(tokens.mteval_signs("他说“你好”…A-1, ok。")) == "他 说 “ 你 好 ” … A-1 , ok 。"
    assert " ".join(tokens.mteval_words("A dog, 1,000 &amp; 3-4.")) == "A dog , 1,000 & 3 - 4 ."


@pytest.mark.parametrize(
    ("word", "found"),
    [("caresses", "caress"), ("ponies", "poni"), ("running", "run"), ("hopping", "hop"), ("filing", "file"),
     ("agreed", "agre"), ("plastered", "plaster"), ("happy", "happi"), ("sky", "sky"), ("relational", "relat"),
     ("vietnamization", "vietnam"), ("triplicate", "triplic"), ("adjustment", "adjust"), ("adoption", "adopt"),
     ("probate", "probat"), ("rate", "rate"), ("controll", "control"), ("is", "is"), ("bicycles", "bicycl")],
)  # fmt: skip
def test_stems_of_porter(word, found):
    """NLTK 3.10.4, ``PorterStemmer("ORIGINAL_ALGORITHM")``; words of two letters stay, as in Porter's own program."""
    assert stem.stem(word) == found


def test_bleu_of_captions():
    """Pycocoevalcap 1.2, ``Bleu(4)``."""
    found = bleu.caption_bleu(bleu.statistics(WORDS, SAID).sum(0))
    assert found == near([0.798588797633277, 0.6755330680254544, 0.5518601151845921, 0.4330005096876976])


def test_bleu_of_sacrebleu():
    """Sacrebleu 2.6.0, ``corpus_bleu``, 13a and zh; the second has no common 3-gram, which is smoothed."""

    def of(texts, references, split=tokens.mteval_words):
        split_references = [[split(one) for one in row] for row in references]
        return 100 * bleu.corpus_bleu(bleu.statistics([split(text) for text in texts], split_references).sum(0))

    assert of(TEXTS, REFERENCES) == near(36.43137036393077)
    assert of(["the cat is here now"], [["a cat was over there now"]]) == near(10.400597689005304)
    chinese = ["两只狗在雪地上奔跑。", "一个人 on bike。"]
    references = [["两只狗在雪地里跑", "狗在雪地上跑。"], ["一个男人骑bike", "一个人"]]
    assert of(chinese, references, tokens.mteval_signs) == near(56.851504181002156)
    assert 100 * chrf.chrf(chrf.statistics(chinese, references).sum(0)) == near(55.35545635474715)


def test_cider_d():
    """Pycocoevalcap 1.2, ``Cider()``."""
    expected = [2.550930326557608, 4.047795052014184, 0.9462670005082313, 0.1347108432458709, 0.0, 2.9184902017165903]
    assert cider.cider_d(WORDS, SAID) == near(expected)


def test_rouge_l():
    """Pycocoevalcap 1.2, ``Rouge()``; rouge-score 0.1.2, ``rougeL`` of ``score_multi``."""
    expected = [0.6853932584269663, 0.9446902654867256, 0.5269978401727862, 0.3860759493670886, 0.0, 0.8571428571428571]
    assert rouge.rouge_l(WORDS, SAID) == near(expected)
    plain, said = [tokens.plain_words(t) for t in TEXTS], [[tokens.plain_words(t) for t in row] for row in REFERENCES]
    expected = [0.6666666666666666, 0.9333333333333333, 0.5333333333333333, 0.4, 0, 0.8571428571428571]
    assert rouge.rouge_l_f1(plain, said) == near(expected)


def test_meteor():
    """NLTK 3.10.4, ``meteor_score`` with its Porter stemmer and a WordNet without synonyms."""
    expected = [0.7311475409836065, 0.97441793618856, 0.6126582278481013, 0.17241379310344826, 0.0, 0.9985422740524781]
    assert meteor.meteor(WORDS, SAID) == near(expected)


def test_chrf():
    """Sacrebleu 2.6.0, ``corpus_chrf`` and ``sentence_chrf``."""
    kept = chrf.statistics(TEXTS, REFERENCES)
    assert 100 * chrf.chrf(kept.sum(0)) == near(59.87416547832277)
    expected = [59.767944642286096, 84.41106613564726, 59.18157544372664, 12.227824733865782, 0, 76.65157535063183]
    assert 100 * chrf.chrf(kept) == near(expected)


def test_word_and_character_errors():
    """Jiwer 4.0.0, as it comes, with the first reference of each row."""
    first = [row[:1] for row in REFERENCES]
    words = edits.word_edits([text.split() for text in TEXTS], [[one.split() for one in row] for row in first])
    assert edits.error_rate(words.sum(0)) == near(0.7297297297297297)
    assert edits.error_rate(edits.character_edits(TEXTS, first).sum(0)) == near(0.5316455696202531)
    kept = edits.word_edits([["a", "x", "c", "d", "f", "g", "h"]], [[["a", "b", "c", "d", "e", "f"]]])
    assert kept[0, :3].sum() == 4  # jiwer: 1 put in, 3 replaced, 3 right; another way gets 4 right
    np.testing.assert_array_equal(kept, [[2, 1, 1, 6]])


def test_of_several_references_the_nearest_counts():
    kept = edits.word_edits([["a", "b"]], [[["x", "y", "z"], ["a", "b", "c"]]])
    np.testing.assert_array_equal(kept, [[0, 1, 0, 3]])


@pytest.mark.parametrize(
    ("text", "normal"),
    [("Two dogs.", "2 dogs"), ("The man's hat", "man's hat"), ("dont know", "don't know"), ("$1,000", "$1000"),
     ("it's 3.5 ft.", "it's 3.5 ft"), ("red/white", "red white"), ("(a) cat?", "cat"), ("No one", "no 1"),
     ("shes", "shes"), ("10 oclock", "10 o'clock"), ("New York, NY", "new york ny"), ("mid-air", "mid air"),
     ('he said: "hi"', "he said: hi"), ("none", "0"), ("couldnt've", "couldn't've")],
)  # fmt: skip
def test_normal_answers_of_vqa(text, normal):
    """VQAEval of GT-Vision-Lab/VQA at its last commit."""
    assert answers.vqa_normal(text) == normal


def test_vqa_accuracy():
    """VQAEval of GT-Vision-Lab/VQA at its last commit; the sixth says No! where all say no, and is not processed."""
    rows = [
        ("2", ["2"] * 7 + ["3"] * 3),
        ("two", ["2"] * 2 + ["3"] * 8),
        ("The dog.", ["dog"] + ["cat"] * 9),
        ("dont know", ["yes"] * 9 + ["no"]),
        ("yes", ["yes"] * 3 + ["no"] * 7),
        ("No!", ["no"] * 10),
        ("red, white", ["red white"] * 4 + ["red"] * 6),
        ("1,000", ["1000"] * 5 + ["100"] * 5),
        ("a t-shirt", ["t-shirt"] * 3 + ["shirt"] * 7),
        ("maybe", ["yes"] * 10),
    ]
    found = answers.vqa_accuracy([text for text, _ in rows], [several for _, several in rows])
    assert found == near([1.0, 0.6, 0.3, 0.0, 0.9, 0.0, 1.0, 1.0, 0.9, 0.0])
    assert np.isnan(answers.vqa_accuracy(["yes"], [["yes"] * 3])).all()


def test_short_answers_as_for_squad():
    """By the formulas of the official evaluation of SQuAD 1.1."""
    texts, references = (
        ["The red car!", "a big red car", "blue", "雪地上"],
        [["red car"], ["red car", "big car"], [""], ["在雪地"]],
    )
    assert answers.exact_match(texts, references) == near([1, 0, 0, 0])
    assert answers.token_f1(texts, references) == near([1, 0.8, 0, 2 / 3])


def test_diversity():
    said = [("a", "b", "a"), ("a", "b"), ()]
    assert diversity.distinct(said, 1) == 2 / 5
    assert diversity.distinct(said, 2) == 2 / 3
    assert np.isnan(diversity.distinct([()], 1))
    assert diversity.most_common_text(["x", "y", "y"]) == ("y", 2)
