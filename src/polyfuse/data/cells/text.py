"""Tokenize texts: n-grams of words and characters, subwords learnt from training texts, or a checkpoint's tokenizer.

Every token keeps its place in the cell, in characters, so that an explanation can point at it. Text that shows nothing
on paper is a bad cell; text beyond ``limits.characters`` is cut.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.transform import pad
from polyfuse.data.cells.words import (
    Counts,
    character_ngrams,
    hash_name,
    hash_pairs,
    is_visible,
    normalize_word,
    word_spans,
)

FIT_SAMPLE = 200_000  # texts, evenly picked, that a vocabulary is learnt from
CHUNK = 1000  # texts tokenized at once
REMEMBERED = 200_000  # words whose n-grams are kept at hand
MOST_NGRAMS = 2**17
_SURROGATE = re.compile("[\ud800-\udfff]")


def as_text(cell: Any, limits: Limits) -> str | BadCell:
    """The text of a cell: words of a list are joined by blanks, bytes are UTF-8, a whole number has no point."""
    if isinstance(cell, (list, tuple, np.ndarray, set, frozenset)):
        cell = " ".join(map(str, sorted(cell, key=str) if isinstance(cell, (set, frozenset)) else cell))
    elif isinstance(cell, bytes):
        cell = cell.decode("utf8", "replace")
    elif isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        cell = int(cell)
    text = _SURROGATE.sub("\ufffd", str(cell)[: limits.characters])  # half a character cannot be encoded
    return text if is_visible(text) else BadCell("no visible character")


def exceeds_limit(cell: Any, limits: Limits) -> bool:
    """Whether a text has more characters than are read."""
    return len(cell) > limits.characters if isinstance(cell, (str, bytes)) else len(str(cell)) > limits.characters


def _uncut(limits: Limits) -> Limits:
    """The same limits, but texts of any length are read to their end."""
    return replace(limits, characters=sys.maxsize)


def _sample_texts(cells: Sequence[Any], limits: Limits) -> Iterator[str]:
    step = -(-len(cells) // FIT_SAMPLE)
    texts = (as_text(cell, limits) for cell in cells[::step])
    return (text for text in texts if isinstance(text, str))


class NGrams:
    """Each word as the set of its n-grams (``text.ngrams``): itself, its character n-grams, and the words before it.

    Fields ``ids`` (U, T, K) int64 with 0 for nothing, ``span`` (U, T, 2) int64, ``lengths`` (U,). N-grams that training
    never showed are 0: their vectors would be noise. The text as a whole is the bag ``bag_ids`` (U, N) int64 of its
    n-grams with ``bag_weights`` (U, N) float32, behind its end 0: 1 + log of how often an n-gram occurs, times the log
    of how few texts of training know it (tf-idf); words with their runs, and pieces of words, each of length 1.

    Args:
        buckets: at most so many different ids; the most frequent n-grams of training get them.
            ``auto`` is as many as there are, up to 131,072.
        characters: shortest and longest character n-gram.
        words: longest run of words that gets an id: 1 for single words, 2 for pairs.
        max_tokens: longer texts are cut; ``all`` cuts none.
        case: tell capitals apart.

    Source: Bojanowski et al., Enriching Word Vectors with Subword Information, TACL 2017; of the weights, Salton and
    Buckley, Term-weighting approaches in automatic text retrieval, 1988.
    See also: ``BytePairs`` where the order of many words matters.
    """

    media = joint = False
    keyword = "max_tokens"
    ragged: ClassVar = {"ids": (2,), "bag_ids": (1,), "bag_weights": (1,)}

    def __init__(
        self,
        buckets: int | str = "auto",
        characters: tuple[int, int] = (3, 5),
        words: int = 2,
        max_tokens: int | str = 256,
        case: bool = False,
    ):
        if isinstance(max_tokens, str) and max_tokens != "all":
            raise ValueError(f"max_tokens: expected a number or 'all', found {max_tokens!r}")
        if buckets != "auto" and not (isinstance(buckets, int) and buckets >= 2):
            raise ValueError(f"buckets: expected 'auto' or a number from 2, found {buckets!r}")
        self.limit = MOST_NGRAMS if buckets == "auto" else int(buckets)
        self.characters = (characters[0], characters[1])
        self.whole = max_tokens == "all"
        self.words, self.case = words, case
        self.max_tokens = sys.maxsize if isinstance(max_tokens, str) else max_tokens
        self.names = np.zeros(0, np.int64)
        self.texts = 0
        self.known_by = np.zeros(0, np.int64)  # texts of training that hold an n-gram
        self.is_piece = np.zeros(0, bool)
        self._rarity = np.zeros(1)
        self._ids: dict[str, tuple[int, np.ndarray]] = {}

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn which n-grams there are."""
        limits = _uncut(limits) if self.whole else limits
        counts, made, named, seen = Counts(), Counts(), dict[str, int](), Counter[str]()
        for text in _sample_texts(cells, limits):
            words = [text[start:end] for start, end in word_spans(text, self.max_tokens)]
            seen.update(set(words))
            for word in words:
                if word not in named:
                    named[word] = hash_name(normalize_word(word, self.case))
            for names in self._runs(np.array([named[word] for word in words], np.int64)):
                counts.add(np.unique(names), 1)
        for word, times in seen.items():
            names = self._names(normalize_word(word, self.case))
            counts.add(names, times)
            made.add(names[1:], 1)
        self.names = counts.most_frequent(self.limit - 1)
        self.is_piece = np.isin(self.names, made.most_frequent(made.size))
        self._ids.clear()
        self._count_texts(_sample_texts(cells, limits))

    def _count_texts(self, texts: Iterable[str]) -> None:
        """In how many texts each n-gram occurs."""
        self.texts, self.known_by = 0, np.zeros(len(self.names), np.int64)
        for text in texts:
            ids = np.unique(self._table(text)[:, 2:])
            self.known_by[ids[ids > 0] - 1] += 1
            self.texts += 1
        self._weigh()

    def _weigh(self) -> None:
        """Weigh each id by its rarity; those of one text alone help too (measured by cross-validation)."""
        rarity = 1 + np.log((1 + self.texts) / (1 + self.known_by))
        self._rarity = np.r_[0, np.where(self.known_by > 0, rarity, 0)]

    def facts(self) -> dict[str, Any]:
        """``buckets``: ids are below it."""
        return {"buckets": len(self.names) + 1}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        pieces = np.flatnonzero(self.is_piece).tolist()
        return {"names": self.names.tolist(), "texts": self.texts, "known_by": self.known_by.tolist(), "pieces": pieces}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described; a model saved before n-grams were weighed has empty bags."""
        self.names = np.array(state["names"], np.int64)
        self.texts = state.get("texts", 0)
        self.known_by = np.array(state.get("known_by", np.zeros(len(self.names))), np.int64)
        self.is_piece = np.isin(np.arange(len(self.names)), state.get("pieces", []))
        self._weigh()
        self._ids.clear()

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """Per cell int32 (2 + T * (2 + K) + 2 N,): the shape of its table of words, the table (start and end of each
        word, then its ids), the ids of its bag and, bit for bit, their float32 weights.
        """
        limits = _uncut(limits) if self.whole else limits
        texts = (as_text(cell, limits) for cell in cells)
        return [text if isinstance(text, BadCell) else self._pack(self._table(text)) for text in texts]

    @property
    def window(self) -> str:
        """The length that is read of a text, in words."""
        return f"{self.max_tokens:,} words"

    def fills(self, array: np.ndarray) -> bool:
        """Whether there may be more words than were read."""
        return not self.whole and int(array[0]) >= self.max_tokens

    def cuts(self, cell: Any, limits: Limits) -> bool:
        """Whether a text has more words than are read."""
        text = as_text(cell, limits)
        most = self.max_tokens
        return not self.whole and isinstance(text, str) and len(word_spans(text, most + 1)) > most

    def _pack(self, table: np.ndarray) -> np.ndarray:
        ids, weights = self._bag(table[:, 2:])
        return np.concatenate([np.array(table.shape, np.int32), table.ravel(), ids, weights.view(np.int32)])

    def _bag(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The distinct n-grams among some ids (N,) int32, and their weights (N,) float32."""
        ids, times = np.unique(ids, return_counts=True)
        weights = (1 + np.log(times)) * self._rarity[ids]
        ids, weights = ids[weights > 0], weights[weights > 0]  # 0 stands for no n-gram
        family = self.is_piece[ids - 1].astype(int)
        length = np.sqrt(np.bincount(family, weights**2, minlength=2))
        return ids, (weights / length[family]).astype(np.float32)

    def _table(self, text: str) -> np.ndarray:
        at = word_spans(text, self.max_tokens)
        found = [self._word(text[start:end]) for start, end in at]
        runs = list(self._runs(np.array([name for name, _ in found], np.int64)))
        widest = max(1, *(len(ids) for _, ids in found))
        out = np.zeros((len(at), 2 + len(runs) + widest), np.int32)
        out[:, :2] = at
        for order, names in enumerate(runs):
            out[order + 1 :, 2 + order] = self._lookup(names)
        for row, (_, ids) in zip(out[:, 2 + len(runs) :], found, strict=True):
            row[: len(ids)] = ids
        return out

    def _word(self, raw: str) -> tuple[int, np.ndarray]:
        """Name of a word, and the ids of its own n-grams; words come again, so they are remembered."""
        if raw not in self._ids:
            if len(self._ids) >= REMEMBERED:
                self._ids.clear()
            names = self._names(normalize_word(raw, self.case))
            ids = self._lookup(names)
            self._ids[raw] = int(names[0]), ids[ids > 0]
        return self._ids[raw]

    def _names(self, word: str) -> np.ndarray:
        parts = (
            f"{part}\0" for part in character_ngrams(word, *self.characters)
        )  # the word "cat" is not the piece "cat"
        return np.array([hash_name(word), *map(hash_name, parts)], np.int64)

    def _runs(self, names_T: np.ndarray) -> Iterator[np.ndarray]:
        """Names of the runs of two words, of three, and so on."""
        run = names_T
        for order in range(1, min(self.words, len(names_T))):
            run = hash_pairs(run[:-1], names_T[order:])
            yield run

    def _lookup(self, names: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self.names, names).clip(max=max(0, len(self.names) - 1))
        return np.where(self.names[at] == names, at + 1, 0) if len(self.names) else np.zeros(len(names), np.int64)

    def blank(self) -> np.ndarray:
        """One token without n-grams, and an empty bag."""
        return self._pack(np.zeros((1, 3), np.int32))

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``ids`` (U, T, K), ``span`` (U, T, 2), ``lengths`` (U,), ``bag_ids`` (U, N), ``bag_weights`` (U, N)."""
        tables, bags = zip(*map(_unpack_cell, cells), strict=True)
        widest = max(table.shape[1] for table in tables)
        words = np.zeros((len(cells), max(map(len, tables)), widest), np.int64)
        for row, table in zip(words, tables, strict=True):
            row[: table.shape[0], : table.shape[1]] = table
        bag_ids, _ = pad([ids for ids, _ in bags])
        bag_weights, _ = pad([weights for _, weights in bags])
        return {
            "ids": words[..., 2:],
            "span": words[..., :2],
            "lengths": np.array([len(table) for table in tables], np.int64),
            "bag_ids": bag_ids.astype(np.int64),
            "bag_weights": bag_weights,
        }


def _unpack_cell(cell: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Table of words, and ids and weights of the bag."""
    rows, columns = int(cell[0]), int(cell[1])
    end = 2 + rows * columns
    ids, weights = np.split(cell[end:], 2)
    return cell[2:end].reshape(rows, columns), (ids, weights.view(np.float32))


class _Subwords:
    """Base of transforms on the ``tokenizers`` library: cells to ids with their spans, padded together."""

    media = joint = False
    keyword = "max_tokens"

    def __init__(self, max_tokens: int, whole: bool = False):
        self.max_tokens, self.whole = max_tokens, whole
        self.tokenizer = Tokenizer(models.BPE())  # until it is fitted
        self.fill = 0

    def _take(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        if self.whole:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_tokens)
        self.tokenizer = tokenizer

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"tokenizer": json.loads(self.tokenizer.to_str()), "fill": self.fill}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self._take(Tokenizer.from_str(json.dumps(state["tokenizer"])))
        self.fill = state["fill"]

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """Per cell (T, 3) int32: id, start and end of each token."""
        out: list[np.ndarray | BadCell] = []
        limits = _uncut(limits) if self.whole else limits
        for at in range(0, len(cells), CHUNK):
            texts = [as_text(cell, limits) for cell in cells[at : at + CHUNK]]
            made = iter(self._tokens([text for text in texts if isinstance(text, str)]))
            out += [text if isinstance(text, BadCell) else next(made) for text in texts]
        return out

    @property
    def window(self) -> str:
        """The length that is read of a text, in words."""
        return f"{self.max_tokens:,} tokens"

    def fills(self, array: np.ndarray) -> bool:
        """Whether there may be more tokens than were read."""
        return not self.whole and len(array) >= self.max_tokens

    def cuts(self, cell: Any, limits: Limits) -> bool:
        """Whether a text has more tokens than are read."""
        text = as_text(cell, limits)
        return not self.whole and isinstance(text, str) and bool(self.tokenizer.encode(text).overflowing)

    def _tokens(self, texts: list[str]) -> Iterator[np.ndarray | BadCell]:
        for made in self.tokenizer.encode_batch(texts):
            found = np.column_stack([made.ids, made.offsets]).astype(np.int32) if made.ids else None
            yield BadCell("the tokenizer finds nothing in this text") if found is None else found

    def blank(self) -> np.ndarray:
        """One token of padding."""
        return np.array([[self.fill, 0, 0]], np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``ids`` (U, T), ``span`` (U, T, 2), ``lengths`` (U,)."""
        table, lengths = pad(cells)
        table = table.astype(np.int64)
        behind = np.arange(table.shape[1]) >= lengths[:, None]
        return {"ids": np.where(behind, self.fill, table[..., 0]), "span": table[..., 1:], "lengths": lengths}


class BytePairs(_Subwords):
    """Subwords of bytes, learnt from the training texts (``text.bpe``): every script works, nothing is unknown.

    Fields ``ids`` (U, T) int64 with 0 for padding, ``span`` (U, T, 2) int64, ``lengths`` (U,).

    Args:
        vocabulary_limit: at most so many subwords, 257 at least: one for each byte, and padding.
        max_tokens: longer texts are cut.
        lowercase: do not tell capitals apart.
        whole: cut none.

    Source: Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, ACL 2016.
    """

    def __init__(
        self, vocabulary_limit: int = 8000, max_tokens: int = 256, lowercase: bool = True, whole: bool = False
    ):
        if vocabulary_limit < 257:
            raise ValueError(
                f"vocabulary_limit: expected 257 or more (256 bytes and padding), found {vocabulary_limit}"
            )
        super().__init__(max_tokens, whole)
        self.vocabulary_limit, self.lowercase = vocabulary_limit, lowercase

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn which bytes to join."""
        tokenizer = Tokenizer(models.BPE())
        steps = [normalizers.NFKC(), *([normalizers.Lowercase()] if self.lowercase else [])]
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_limit,
            min_frequency=2,
            special_tokens=["<pad>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_sample_texts(cells, limits), trainer)
        self._take(tokenizer)

    def facts(self) -> dict[str, Any]:
        """``vocabulary``: ids are below it."""
        return {"vocabulary": self.tokenizer.get_vocab_size()}


class SavedTokenizer(_Subwords):
    """The tokenizer of a checkpoint, with the special tokens that it adds (``text.tokenizer``).

    Fields as those of ``BytePairs``; padding is the checkpoint's own.

    Args:
        file: path of its ``tokenizer.json``; read once, then the tokenizer is part of the model.
        max_tokens: longer texts are cut; special tokens stay.
        whole: cut none.
    """

    def __init__(self, file: str, max_tokens: int = 256, whole: bool = False):
        super().__init__(max_tokens, whole)
        self.file = file

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Read the file; nothing is learnt from cells.

        Raises:
            ValueError: no file, or not a tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_str(Path(self.file).read_text(encoding="utf8"))
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"{self.file}: expected a tokenizer.json of the tokenizers library: {error}") from None
        self.fill = _padding(tokenizer)
        self._take(tokenizer)

    def facts(self) -> dict[str, Any]:
        """None: the checkpoint knows its vocabulary."""
        return {}


def _padding(tokenizer: Tokenizer) -> int:
    """The id for padding; checkpoints without one never look at padded places, so any id will do."""
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    known = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>", "<|endoftext|>"))
    return next((at for at in known if at is not None), 0)
