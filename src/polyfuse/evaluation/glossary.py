"""What each metric is called, how it is written and what it means, for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOTHING = "–"


@dataclass(frozen=True)
class Term:
    """One metric in words.

    Args:
        title: its name in tables.
        meaning: one line for a reader who does not know it.
        percent: written as a percentage.
        higher: a higher value is better.
    """

    title: str
    meaning: str
    percent: bool = False
    higher: bool = True


TERMS = {
    "mean_recall": Term(
        "Mean recall", "recall at 1, 5 and 10, on average, of each input finding the other", percent=True
    ),
    "accuracy": Term("Accuracy", "share of rows predicted right", percent=True),
    "balanced_accuracy": Term("Balanced accuracy", "mean recall of the classes, frequent or rare", percent=True),
    "macro_f1": Term("Macro F1", "mean over classes of the balance of precision and recall", percent=True),
    "weighted_f1": Term("Weighted F1", "the same, weighted by the rows of each class", percent=True),
    "micro_f1": Term("Micro F1", "balance of precision and recall over all labels of all rows", percent=True),
    "exact_match": Term(
        "Exact match",
        "share of rows wholly right: all labels and none too many; a text but for case, punctuation and articles",
        percent=True,
    ),
    "span_f1": Term(
        "Span F1", "balance of precision and recall of spans, right where words and label are", percent=True
    ),
    "span_precision": Term("Span precision", "share of the spans that were found which are right", percent=True),
    "span_recall": Term("Span recall", "share of the true spans that were found", percent=True),
    "span_macro_f1": Term("Span macro F1", "mean of span F1 over labels, frequent or rare", percent=True),
    "span_macro_precision": Term("Span macro precision", "mean of span precision over labels", percent=True),
    "span_macro_recall": Term("Span macro recall", "mean of span recall over labels", percent=True),
    "span_weighted_f1": Term("Span weighted F1", "the same, weighted by the true spans of each label", percent=True),
    "span_weighted_precision": Term("Span weighted precision", "span precision, weighted likewise", percent=True),
    "span_weighted_recall": Term("Span weighted recall", "span recall, weighted likewise", percent=True),
    "strict_f1": Term("Strict F1", "span F1 where a span begins with B alone, as seqeval's strict mode", percent=True),
    "strict_precision": Term("Strict precision", "span precision, read likewise", percent=True),
    "strict_recall": Term("Strict recall", "span recall, read likewise", percent=True),
    "strict_macro_f1": Term("Strict macro F1", "mean of strict F1 over labels", percent=True),
    "strict_macro_precision": Term("Strict macro precision", "mean of strict precision over labels", percent=True),
    "strict_macro_recall": Term("Strict macro recall", "mean of strict recall over labels", percent=True),
    "strict_weighted_f1": Term("Strict weighted F1", "strict F1, weighted by the true spans of a label", percent=True),
    "strict_weighted_precision": Term("Strict weighted precision", "strict precision, weighted likewise", percent=True),
    "strict_weighted_recall": Term("Strict weighted recall", "strict recall, weighted likewise", percent=True),
    "ap": Term(
        "AP", "average precision of boxes, a mean over labels and over overlaps from .5 to .95, as COCO's", percent=True
    ),
    "ap50": Term("AP50", "average precision of boxes that overlap by half or more", percent=True),
    "ap75": Term("AP75", "average precision of boxes that overlap by three quarters or more", percent=True),
    "ap_small": Term("AP, small", "AP of boxes up to 32 x 32 pixels", percent=True),
    "ap_medium": Term("AP, medium", "AP of boxes up to 96 x 96 pixels", percent=True),
    "ap_large": Term("AP, large", "AP of boxes above 96 x 96 pixels", percent=True),
    "miou": Term(
        "Mean IoU", "pixels of a class that are right, of all that have it or got it, a mean over classes", percent=True
    ),
    "dice": Term("Dice", "balance of precision and recall of the pixels of a class, a mean over classes", percent=True),
    "pixel_accuracy": Term("Pixel accuracy", "share of pixels whose class is right", percent=True),
    "token_accuracy": Term("Token accuracy", "share of words whose tag is right", percent=True),
    "token_macro_f1": Term(
        "Token macro F1", "F1 of the tags of words, on average over tags, O among them", percent=True
    ),
    "token_macro_precision": Term("Token macro precision", "precision of the tags of words, likewise", percent=True),
    "token_macro_recall": Term("Token macro recall", "recall of the tags of words, likewise", percent=True),
    "token_weighted_f1": Term("Token weighted F1", "the same, weighted by the words of each tag", percent=True),
    "token_weighted_precision": Term("Token weighted precision", "precision, weighted likewise", percent=True),
    "token_weighted_recall": Term("Token weighted recall", "recall, weighted likewise", percent=True),
    "segment_f1": Term("Segment F1", "balance of precision and recall of labels, second by second", percent=True),
    "segment_precision": Term(
        "Segment precision", "share of the labels found in a second that are right", percent=True
    ),
    "segment_recall": Term("Segment recall", "share of the true labels of seconds that were found", percent=True),
    "segment_macro_f1": Term("Segment macro F1", "mean of segment F1 over labels", percent=True),
    "segment_macro_precision": Term("Segment macro precision", "mean of segment precision over labels", percent=True),
    "segment_macro_recall": Term("Segment macro recall", "mean of segment recall over labels", percent=True),
    "onset_f1": Term("Onset F1", "balance of both, an event found where it begins within 0.2 s", percent=True),
    "onset_precision": Term(
        "Onset precision",
        "share of the events found that begin within 0.2 s of a true one",
        percent=True,
    ),
    "onset_recall": Term(
        "Onset recall",
        "share of the true events whose beginning was found",
        percent=True,
    ),
    "onset_macro_f1": Term("Onset macro F1", "mean of onset F1 over labels", percent=True),
    "onset_macro_precision": Term("Onset macro precision", "mean of onset precision over labels", percent=True),
    "onset_macro_recall": Term("Onset macro recall", "mean of onset recall over labels", percent=True),
    "map": Term("mAP", "mean average precision: how well each label ranks its rows, at any threshold", percent=True),
    "auroc": Term("AUROC", "chance that a row of a class scores above one that is not; 50 % is a coin", percent=True),
    "qwk": Term("Weighted kappa", "agreement beyond chance, mistakes counted by their squared steps; 1 is perfect"),
    "mae_steps": Term("Steps off", "mean distance of prediction and truth, in steps of the scale", higher=False),
    "macro_mae_steps": Term("Macro steps off", "the same as a mean over classes, frequent or rare", higher=False),
    "ece": Term("Calibration error", "distance of confidence from accuracy (ECE, 15 bins)", percent=True, higher=False),
    "log_loss": Term("Log loss", "penalty for confidence in wrong answers, in nats", higher=False),
    "brier": Term("Brier score", "squared distance of probabilities from the truth", higher=False),
    "rmse": Term("RMSE", "root mean squared error, in the column's units", higher=False),
    "mae": Term("Mean absolute error", "in the column's units", higher=False),
    "median_ae": Term("Median absolute error", "half of the rows stay below it, in the column's units", higher=False),
    "r2": Term("R²", "share of the variance explained: 1 is perfect, 0 the mean"),
    "rmsle": Term("RMSLE", "RMSE of log(1 + value): relative error", higher=False),
    "r2_log": Term("R² of logs", "R² of the logarithms"),
    "recall@1": Term("R@1", "share of queries whose match comes first in the whole gallery", percent=True),
    "recall@5": Term("R@5", "share of queries with a match among the first five", percent=True),
    "recall@10": Term("R@10", "share of queries with a match among the first ten", percent=True),
    "median_rank": Term("Median rank", "half of the queries find their match by this place", higher=False),
    "cider_d": Term("CIDEr-D", "agreement with the references in n-grams that few rows have, from 0 to 10"),
    "bleu": Term(
        "BLEU", "n-grams up to 4 that a reference has, over all rows, as sacreBLEU counts (13a or zh)", percent=True
    ),
    "bleu_1": Term("BLEU-1", "words that a reference has, as for COCO captions", percent=True),
    "bleu_2": Term("BLEU-2", "the same of words and pairs of words", percent=True),
    "bleu_3": Term("BLEU-3", "the same up to three words in a row", percent=True),
    "bleu_4": Term("BLEU-4", "the same up to four words in a row", percent=True),
    "meteor": Term(
        "METEOR (exact + stem)",
        "words found again, as they are or by their English stem; without synonyms, so below METEOR with them",
        percent=True,
    ),
    "rouge_l": Term("ROUGE-L", "longest common subsequence of words, recall first, as for COCO captions", percent=True),
    "rouge_l_f1": Term("ROUGE-L F1", "the same with precision and recall balanced, as for summaries", percent=True),
    "chrf": Term("chrF", "runs of up to six characters that a reference has, and the other way round", percent=True),
    "wer": Term(
        "WER",
        "words to insert, delete and replace per word of the reference, case and punctuation aside; may pass 100 %",
        percent=True,
        higher=False,
    ),
    "cer": Term("CER", "the same of characters", percent=True, higher=False),
    "token_f1": Term("Token F1", "balance of precision and recall of an answer's words, as for SQuAD", percent=True),
    "vqa_accuracy": Term(
        "VQA accuracy", "share of rows right, an answer of three people or more counting 1", percent=True
    ),
    "distinct_1": Term("Distinct-1", "different words as a share of all words written", percent=True),
    "distinct_2": Term("Distinct-2", "different pairs of words as a share of all pairs written", percent=True),
    "same_text": Term("Same text", "share of rows that get the text written most often", percent=True, higher=False),
    "match": Term(
        "Match",
        "chance that what was made lies nearer to its own reference than to another's; 50 % is chance",
        percent=True,
    ),
    "frechet_pixels": Term(
        "Frechet (pixels)", "distance of made from real pictures as a whole, pooled to 8 x 8 squares", higher=False
    ),
    "frechet_efficientnet": Term(
        "Frechet (EfficientNet-Lite0)",
        "the same on features of EfficientNet-Lite0 at 96 pixels; not comparable with FID, whose features are others",
        higher=False,
    ),
    "variety": Term("Variety", "variance of what was made as a share of that of the references", percent=True),
    "mcd": Term(
        "MCD",
        "mel-cepstral distortion in dB, aligned in time, loudness aside; from mel filters, so not those of vocoders",
        higher=False,
    ),
    "length_error": Term(
        "Length error", "difference of length as a share of the reference's length", percent=True, higher=False
    ),
    "spearman": Term("Spearman", "rank correlation: 1 when the order is right"),
}


def term(name: str) -> Term:
    """The words for a metric; a metric not in the table goes by its own name."""
    return TERMS.get(name) or Term(name.replace("_", " "), "")


def format_value(name: str, value: float | None) -> str:
    """Format a metric's value."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if term(name).percent else format_number(value)


def format_interval(name: str, interval: tuple[float, float] | None) -> str:
    """A metric's 95 % interval for people; empty when there is none."""
    if interval is None:
        return ""
    low, high = (format_value(name, bound) for bound in interval)
    return f"{low.removesuffix(' %')} to {high}"


def format_number(value: float | int | None) -> str:
    """A number to about four digits, thousands separated, without powers of ten where that can be helped."""
    if value is None:
        return NOTHING
    size, sign = abs(value), "−" if value < 0 else ""
    if isinstance(value, int) or size >= 1000:
        return f"{sign}{size:,.0f}"
    digits = 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{sign}{size:.{digits}f}" if size >= 0.01 or not size else f"{sign}{size:.3g}"


def format_signed(value: float) -> str:
    """A difference of numbers, with its sign."""
    return f"+{format_number(value)}" if value > 0 else format_number(value)


def format_difference(name: str, value: float) -> str:
    """A metric's distance from another value of it."""
    if not term(name).percent:
        return format_signed(value)
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{100 * abs(value):.1f} points"


def format_loss(metric: str, drop: float | None) -> str:
    """How much of a metric is lost, positive whichever way it counts: ``3.1 points``, ``0.12``."""
    if drop is None:
        return NOTHING
    return f"{100 * drop:.1f} points" if term(metric).percent else format_number(drop)


def format_seconds(seconds: Mapping[str, float]) -> str:
    """Format seconds per stage: ``reading 1.2 s, training 34 s``."""
    shown = {name: f"{value:,.0f}" if value >= 100 else f"{value:.2g}" for name, value in seconds.items()}
    return ", ".join(f"{name} {value} s" for name, value in shown.items())


def format_settings(given: Mapping[str, Any]) -> str:
    """Settings by name: ``beams 4, length_penalty 0.6``."""
    return ", ".join(f"{name} {value}" for name, value in given.items())


def format_bytes(count: int) -> str:
    """Format a number of bytes: ``1.2 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
