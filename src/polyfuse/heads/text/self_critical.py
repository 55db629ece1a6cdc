"""Learning from what whole texts are worth: of several drawn texts, those better than the others become likelier.

Rennie et al., Self-critical sequence training for image captioning, CVPR 2017, with the mean of the other samples in
the place of the greedy text, as Luo, A better variant of self-critical sequence training, 2020, has it: no text is
written for the comparison alone, and the variance is smaller. What a text is worth is its CIDEr-D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from polyfuse.data.cells.spelling import PAD
from polyfuse.heads.text.decode import Decoding, GeneratedTexts, Rules
from polyfuse.heads.text.memory import select_rows
from polyfuse.heads.text.teacher_forcing import References
from polyfuse.metrics.text import cider, tokens
from polyfuse.records import Tokens


@runtime_checkable
class Draws(Protocol):
    """A decoder that draws texts, and says how likely a text is by logits that have a gradient."""

    def write(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> GeneratedTexts:
        """A text of every row."""

    def log_probability(self, memory: Tokens, texts: References, banned: Sequence[int]) -> Tensor:
        """Log-probability of every text (N,), its end included, among those without the banned units."""


@dataclass(frozen=True, eq=False)
class Reward:
    """CIDEr-D of texts of known rows.

    Args:
        references: row -> its reference texts.
        signs: count sign by sign what is written without spaces.
        frequencies: in how many training rows each n-gram of the references occurs.
    """

    references: Mapping[int, tuple[str, ...]]
    signs: bool
    frequencies: cider.Frequencies

    @classmethod
    def of(cls, targets: Mapping[int, str | Sequence[str]], train: Sequence[int]) -> Reward:
        """From the references of rows, the document frequencies from those of training alone."""
        several = {row: (told,) if isinstance(told, str) else tuple(told) for row, told in targets.items()}
        known = [several[row] for row in train if row in several]
        signs = tokens.unspaced(text for row in known for text in row)
        split = tokens.caption_signs if signs else tokens.caption_words
        return cls(several, signs, cider.Frequencies.of_words([[split(text) for text in row] for row in known]))

    def __call__(self, rows: Sequence[int], texts: Sequence[str]) -> np.ndarray:
        """Of one text of each of some rows (N,), from 0 to 10."""
        split = tokens.caption_signs if self.signs else tokens.caption_words
        wanted = [[split(text) for text in self.references[row]] for row in rows]
        return cider.References(wanted, self.frequencies).scores([split(text) for text in texts])

    def __deepcopy__(self, memo: dict[int, Any]) -> Reward:
        """Itself, as it never changes."""
        return self


def self_critical(
    decoder: Any, memory: Tokens, rules: Rules, samples: int, worth: Callable[[list[list[int]]], np.ndarray]
) -> Tensor:
    """Loss per row (B,) whose gradient, on the average over draws, is that of minus the mean worth of what is drawn.

    Texts are drawn and judged without dropout of the decoder, so that both are of one distribution.

    Args:
        memory: what the texts are about (B, S, D).
        rules: of what may be written; those of lengths and of units, no others.
        samples: texts drawn per row, 2 at least.
        worth: ids of B x samples texts, row by row -> a number per text.
    """
    wide = select_rows(memory, torch.arange(len(memory.x_BTD), device=memory.x_BTD.device).repeat_interleave(samples))
    mode = decoder.training
    decoder.eval()
    try:
        with torch.no_grad():
            how = Decoding(sample=True, seed=int(torch.randint(2**31, ())))
            ids = decoder.write(wide, rules, how, range(len(wide.x_BTD))).ids
        value_BS = torch.from_numpy(worth(ids)).to(memory.x_BTD.device, torch.float32).view(-1, samples)
        log_BS = decoder.log_probability(wide, as_references(ids, rules, wide.x_BTD.device), rules.banned).view(
            -1, samples
        )
    finally:
        decoder.train(mode)
    others_BS = (value_BS.sum(1, keepdim=True) - value_BS) / (samples - 1)
    return -((value_BS - others_BS) * log_BS).mean(1)


def as_references(ids: Sequence[Sequence[int]], rules: Rules, device: torch.device) -> References:
    """Texts that were written, as texts to learn; one of the greatest length was broken off there."""
    lengths = [len(text) for text in ids]
    padded = [[*text, *[PAD] * (max(1, *lengths) - len(text))] for text in ids]
    lengths_N = torch.tensor(lengths, device=device)
    return References(torch.tensor(padded, device=device), lengths_N, lengths_N < rules.most)
