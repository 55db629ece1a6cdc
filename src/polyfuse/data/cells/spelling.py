"""Tokenizer of text outputs: words, characters or byte pairs, trained on the training texts; encodes and decodes.

Ids 0 to 3, but of a checkpoint's tokenizer, are padding (and the blank of CTC), the beginning, the end, and what is
unknown. Words and characters are joined again without loss: a word carries the blank in front of it. Chinese and
Japanese characters are words.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from polyfuse.data.cells.words import ALONE

SPECIALS = ("<pad>", "<begin>", "<end>", "<unknown>")
PAD, BEGIN, END, UNKNOWN = range(4)
CHECKPOINT = "checkpoint"  # the unit of texts that a checkpoint's own tokenizer spells
UNITS = ("word", "char", "bpe")
OFTEN = 5.0  # times that words occur on the average, from which each is learnt as one
SOUND = 0.99  # share of the words of the training texts that a vocabulary of words must hold to be taken by itself
_WORD = re.compile(rf"\s*(?:[{ALONE}]|[^\W{ALONE}]+|[^\w\s]+)")
_BLANKS = re.compile(r"\s+")


def normalize_blanks(text: str) -> str:
    """Collapse blanks to single ones, with none at the ends."""
    return _BLANKS.sub(" ", text).strip()


def split_words(text: str) -> list[str]:
    """The words and marks of a tidy text, each with the blank in front of it; joined they are the text, and a blank."""
    return _WORD.findall(f" {text}")


class Speller:
    """A tokenizer: text -> ids, and back.

    Args:
        unit: ``word``, ``char`` or ``bpe``.
        pieces: of words and characters, what each id above the special ones stands for.
        tokenizer: of byte pairs, or of a checkpoint.
        end: what ends a text of a checkpoint, whose special tokens are its own.
        lead: what such a checkpoint writes before every text.

    Attributes:
        banned: ids that stand in no text.
    """

    def __init__(
        self,
        unit: str,
        pieces: Sequence[str] = (),
        tokenizer: Tokenizer | None = None,
        end: int | None = None,
        lead: str = "",
    ):
        self.unit, self.pieces, self.tokenizer, self.lead = unit, list(pieces), tokenizer, lead
        self.begin, self.end, self.unknown = BEGIN, END, UNKNOWN
        self.banned: tuple[int, ...] = (PAD, BEGIN, UNKNOWN)
        self._signs: re.Pattern[str] | None = None
        if end is not None and tokenizer is not None:
            specials = {at: sign for at, sign in tokenizer.get_added_tokens_decoder().items() if sign.special}
            self._signs = re.compile("|".join(re.escape(s.content) for s in specials.values())) if specials else None
            self.begin, self.end, self.unknown = end, end, -1
            self.banned = tuple(at for at in specials if at != end)
        self._ids = {piece: at for at, piece in enumerate(self.pieces, len(SPECIALS))}

    @classmethod
    def train(cls, texts: Sequence[str], unit: str, limit: int) -> Speller:
        """Train on texts.

        Args:
            unit: ``auto`` takes words where nearly all of them come often, and byte pairs elsewhere.
            limit: at most so many ids, those of the special ones included.
        """
        if unit == "bpe":
            return cls("bpe", tokenizer=_byte_pairs(texts, limit))
        split = list if unit == "char" else split_words
        counts = Counter(piece for text in texts for piece in split(normalize_blanks(text)))
        kept = sorted(counts, key=lambda piece: (-counts[piece], piece))[: limit - len(SPECIALS)]
        if unit == "auto":
            total = counts.total()
            held = sum(counts[piece] for piece in kept)
            if total < OFTEN * len(counts) or held < SOUND * total:
                return cls.train(texts, "bpe", limit)
        return cls("word" if unit == "auto" else unit, kept)

    @property
    def vocabulary(self) -> int:
        """Ids are below it."""
        return self.tokenizer.get_vocab_size() if self.tokenizer else len(SPECIALS) + len(self.pieces)

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Encode texts as ids, without begin and end tokens."""
        tidied = [normalize_blanks(text) for text in texts]
        if self.tokenizer is not None:
            made = self.tokenizer.encode_batch([self.lead + text for text in tidied], add_special_tokens=False)
            return [one.ids for one in made]
        split = list if self.unit == "char" else split_words
        return [[self._ids.get(piece, UNKNOWN) for piece in split(text)] for text in tidied]

    def text(self, ids: Iterable[int]) -> str:
        """Decode ids as text; special ones are left out."""
        left_out = {*self.banned, self.end}
        ids = [int(at) for at in ids if int(at) not in left_out]
        if self.tokenizer is not None:
            return normalize_blanks(self.tokenizer.decode(ids))
        return normalize_blanks("".join(self.pieces[at - len(SPECIALS)] for at in ids))

    def strip_special_tokens(self, text: str) -> str:
        """Remove what a checkpoint's tokenizer would take for a special token, such as the end of a turn."""
        while self._signs and text != (text := self._signs.sub("", text)):
            pass  # what is left may be a sign again
        return text

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """The characters of ``text(ids)`` that each id adds to it, start and end.

        What adds none by itself, such as the first bytes of a character, has an empty span where the next begins.
        """
        ends = [0]
        for count in range(1, len(ids)):
            ends.append(max(ends[-1], len(self.text(ids[:count]).rstrip("\ufffd"))))
        return list(pairwise([*ends, len(self.text(ids))])) if ids else []

    def state(self) -> dict[str, Any]:
        """As JSON."""
        own = {"tokenizer": json.loads(self.tokenizer.to_str())} if self.tokenizer else {"pieces": self.pieces}
        return {"unit": self.unit, **own, **({"end": self.end, "lead": self.lead} if self.unit == CHECKPOINT else {})}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Speller:
        """From what ``state`` gave."""
        written = state.get("tokenizer")
        tokenizer = None if written is None else Tokenizer.from_str(json.dumps(written))
        return cls(state["unit"], state.get("pieces", ()), tokenizer, state.get("end"), state.get("lead", ""))

    @classmethod
    def from_checkpoint(cls, file: str, end: int, lead: str = "") -> Speller:
        """The tokenizer of a checkpoint.

        Args:
            file: its ``tokenizer.json``.
            end: the id that ends a text.
            lead: what the checkpoint was taught to write before a text.
        """
        tokenizer = Tokenizer.from_file(file)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(CHECKPOINT, tokenizer=tokenizer, end=end, lead=lead)


def _byte_pairs(texts: Sequence[str], limit: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=limit,
        min_frequency=2,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(normalize_blanks, texts), trainer)
    return tokenizer
