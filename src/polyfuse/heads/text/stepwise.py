"""What decoders share that write unit by unit: they learn by teacher forcing, and are written through ``decode``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from polyfuse.data.cells.spelling import BEGIN, END, PAD
from polyfuse.heads.text.decode import Cache, Decoding, GeneratedTexts, Rules, generate, generate_steps
from polyfuse.heads.text.memory import Memory
from polyfuse.heads.text.teacher_forcing import Learning, References, log_probability, teacher_forced
from polyfuse.records import Tokens


class StepwiseDecoder(nn.Module):
    """A decoder by its logits; the units 1 and 2 begin and end a text.

    Args:
        width: D of the fused tokens.
    """

    def __init__(self, width: int):
        super().__init__()
        self.read: nn.Module = Memory(width)

    def check(self, how: Decoding) -> None:
        """Whether it can write so: unit by unit, every way is possible."""

    @abstractmethod
    def forward(self, memory: Tokens, before_NT: Tensor) -> tuple[Tensor, Tensor | None]:
        """What came before each unit -> logits (N, T, V), and a further loss per row (N,) or None."""

    @abstractmethod
    def begin(self, memory: Tokens) -> Cache:
        """What it keeps of the memory, before the first unit."""

    @abstractmethod
    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The last unit of every row -> logits of the next (N, V), and the cache with it."""

    def loss(self, memory: Tokens, texts: References, how: Learning) -> Tensor:
        """Loss per text (N,)."""
        return teacher_forced(
            lambda before_NT: self(memory, before_NT), texts, how, begin=BEGIN, end=END, pad=PAD, training=self.training
        )

    def log_probability(self, memory: Tokens, texts: References, banned: Sequence[int]) -> Tensor:
        """Log-probability of every text (N,), its end included, among those without the banned units."""
        return log_probability(lambda before_NT: self(memory, before_NT), texts, banned, begin=BEGIN, end=END, pad=PAD)

    def write(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> GeneratedTexts:
        """The text of every row."""
        return generate(self, memory, rules, how, rows)

    def steps(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> Iterator[GeneratedTexts]:
        """The texts so far, after every step; those of a search by beams come at once."""
        if how.beams > 1:
            yield generate(self, memory, rules, how, rows)
        else:
            yield from generate_steps(self, memory, rules, how, rows)
