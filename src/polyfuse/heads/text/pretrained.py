"""The decoder of a checkpoint that reads and writes: it goes on reading what its own encoder gives, or learns others.

Where an input of the model is read by the encoder of the same checkpoint, its decoder reads those states as they come,
so that the whole checkpoint answers as it was trained to, without any training here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import Companion
from polyfuse.encoders.checkpoint import load_config, tokenizer_of
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.heads.text.checkpoint import (
    Spelling,
    check_train,
    flatten_cache,
    projector,
    set_trainable,
    unflatten_cache,
)
from polyfuse.heads.text.decode import NEVER, Cache, Decoding, GeneratedTexts, Rules
from polyfuse.heads.text.memory import Memory
from polyfuse.heads.text.seq2seq import kind_of, load_decoder, load_opening
from polyfuse.heads.text.stepwise import StepwiseDecoder
from polyfuse.heads.text.teacher_forcing import Learning, References, log_probability, mask_banned, teacher_forced
from polyfuse.records import Fused, Tokens

FUSED = "none"  # the input of a decoder that reads what the fusion gives
AT_ONCE = 2**24  # numbers of what was read that texts written together may have; each layer keeps twice as many


class Pretrained(StepwiseDecoder):
    """The decoder of Whisper, SpeechT5, VisionEncoderDecoder, BLIP, GIT, T5, BART and their like, as it spells.

    Args:
        vocabulary: V of its tokenizer.
        width: D of the fused tokens.
        dropout: of the projector, in training.
        path: a local folder, a name on the Hugging Face Hub, or ``starter:whisper-tiny.en``.
        input: the input that the encoder of the same checkpoint reads; ``none`` reads the fused tokens through a
            projector, which must be learnt. ``auto`` takes the input whose encoder that is.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        train: what of it learns: ``frozen`` nothing, ``lora`` adapters on its linear layers, ``full`` all (then
            ``training.learning_rate`` should be some 1e-5 to 5e-5).
        prompt: what stands before every text, such as ``a picture of``, or ``<|de|><|transcribe|>`` of Whisper.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is of no kind known here, has no tokenizer, or ``train`` is none of the three.

    See also: ``lm`` for a checkpoint without an encoder.
    """

    paper = "Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023"

    def __init__(
        self,
        vocabulary: int,
        width: int,
        dropout: float,
        *,
        path: str,
        input: str = "auto",
        weights: str = "checkpoint",
        train: str = "frozen",
        prompt: str = "",
    ):
        super().__init__(width)
        check_train(train)
        folder = find(path, weights=weights)
        kind = kind_of(folder)[1]
        self.reads = None if input in ("auto", FUSED) else input
        if self.reads is None and not kind.any_length:
            raise ValueError(
                f"{folder.name} writes about what its own encoder reads alone; give an input that encoder, "
                f"{{name: pretrained, path: {path}}}"
            )
        self.vocabulary, self.train_mode = vocabulary, train
        self.model: Any = set_trainable(load_decoder(folder, weights), train)
        self.project = None
        if self.reads is None:
            self.project = nn.Sequential(*projector(width, self.model.width, dropout), nn.LayerNorm(self.model.width))
        self.read = Memory(width) if self.reads is None else Own(self.reads)
        how = load_opening(folder, prompt)
        self.end, self.most, self.room = how.end, how.most, how.room
        self.first: Tensor
        self.register_buffer("first", torch.tensor(how.ids), persistent=False)
        self.never = [at for at in how.never if at < vocabulary]
        self.never_first = [at for at in how.never_first if at < vocabulary]

    @staticmethod
    def spelling(*, path: str, weights: str = "checkpoint", prompt: str = "", **_: Any) -> Spelling:
        """Its own tokenizer, and what a saved model keeps."""
        folder = find(path, weights=weights)
        kind_of(folder)
        tokenizer = str(tokenizer_of(folder))
        names = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
        how = load_opening(folder, prompt)
        return Spelling(
            {**files_to_save(folder, *names), "tokenizer.json": tokenizer}, tokenizer, how.end, how.lead, how.room
        )

    @staticmethod
    def companion(
        *, path: str, input: str = "auto", weights: str = "checkpoint", train: str = "frozen", **_: Any
    ) -> Companion:
        """The encoder whose states it reads as they come."""
        folder = find(path, weights=weights)
        modality, kind = kind_of(folder)
        whole = {"whole": True} if load_config(folder).model_type == "whisper" else {}
        return Companion(modality, path, whole, input, not kind.any_length, train)

    @staticmethod
    def reading(input: str, **keywords: Any) -> dict[str, Any]:
        """Its keywords, reading that input."""
        return {**keywords, "input": input}

    @property
    def reads_width(self) -> int:
        """E of the states that it reads as they come."""
        return self.model.width

    def train(self, mode: bool = True) -> Pretrained:
        """As ever, but a frozen model has no dropout."""
        super().train(mode)
        if self.train_mode == "frozen":
            self.model.eval()
        return self

    def check(self, how: Decoding) -> None:
        """Whether there is room for texts of that length.

        Raises:
            ValueError: there is not.
        """
        if how.max_length is not None and how.max_length > self.room:
            raise ValueError(f"max_length: the checkpoint has {self.room} positions for a text, found {how.max_length}")

    def _seen(self, memory: Tokens) -> Tokens:
        """What is read at the width of the checkpoint; of a row with nothing, one token of zeros."""
        x_NSH = memory.x_BTD if self.project is None else self.project(memory.x_BTD)
        empty_N = ~memory.present_B
        x_NSH = torch.where(memory.mask_BT[..., None], x_NSH, 0.0)  # some checkpoints read what is masked as well
        first_NS = torch.zeros_like(memory.mask_BT)
        first_NS[:, 0] = empty_N
        return Tokens(x_NSH, memory.mask_BT | first_NS)

    def forward(self, memory: Tokens, before_NT: Tensor) -> tuple[Tensor, None]:
        """What came before each unit, its first column standing for the beginning -> logits (N, T, V)."""
        seen, first_NP = self._seen(memory), self.first.expand(len(before_NT), -1)
        logits_NXV = self.model(torch.cat([first_NP, before_NT[:, 1:]], 1), seen.x_BTD, seen.mask_BT)
        return logits_NXV[:, len(self.first) - 1 :, : self.vocabulary], None

    def loss(self, memory: Tokens, texts: References, how: Learning) -> Tensor:
        """Mean cross-entropy per text (N,)."""
        signs = {"begin": self.end, "end": self.end, "pad": self.end}
        return teacher_forced(lambda before_NT: self(memory, before_NT), texts, how, **signs, training=self.training)

    def log_probability(self, memory: Tokens, texts: References, banned: Sequence[int]) -> Tensor:
        """Log-probability of every text (N,), its end included, among those that it writes without the banned units."""

        def allowed(before_NT: Tensor) -> tuple[Tensor, None]:
            logits_NTV = self(memory, before_NT)[0].float()
            logits_NTV = mask_banned(logits_NTV, self.never)
            return torch.cat([mask_banned(logits_NTV[:, :1], self.never_first), logits_NTV[:, 1:]], 1), None

        return log_probability(allowed, texts, banned, begin=self.end, end=self.end, pad=self.end)

    def begin(self, memory: Tokens) -> Cache:
        """Keys and values of what was read and of the beginning, and what it says may come first."""
        from transformers import DynamicCache, EncoderDecoderCache

        seen = self._seen(memory)
        kept = EncoderDecoderCache(DynamicCache(), DynamicCache()) if self.model.apart else DynamicCache()
        first_NP = self.first.expand(len(memory.x_BTD), -1)
        logits_NV = self.model(first_NP, seen.x_BTD, seen.mask_BT, kept)[:, -1, : self.vocabulary].clone()
        logits_NV[:, [*self.never, *self.never_first]] = NEVER
        # once keys and values of what was read are kept, its states are not looked at again
        return {"first": logits_NV, "mask": seen.mask_BT, "x": seen.x_BTD[..., :1], **_flatten_cache(kept)}

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One further unit; the first was found by ``begin``."""
        if "first" in cache:
            return cache["first"], {name: value for name, value in cache.items() if name != "first"}
        kept = _rebuild_cache(cache, apart=self.model.apart)
        x_NSH = cache["x"].expand(-1, -1, self.model.width)
        logits_NV = self.model(ids_N[:, None], x_NSH, cache["mask"], kept)[:, -1, : self.vocabulary].clone()
        logits_NV[:, self.never] = NEVER
        return logits_NV, {"mask": cache["mask"], "x": cache["x"], **_flatten_cache(kept)}

    def write(self, memory: Tokens, rules: Rules, how: Decoding, rows: Sequence[int]) -> GeneratedTexts:
        """The text of every row, of as many together as memory has room for."""
        each = how.beams * memory.x_BTD.shape[1] * self.model.width
        found = GeneratedTexts([], [], [])
        for at in torch.arange(len(memory.x_BTD)).split(max(1, AT_ONCE // max(1, each))):
            some = Tokens(memory.x_BTD[at], memory.mask_BT[at])
            made = super().write(some, rules, how, [rows[n] for n in at.tolist()] if rows else [])
            for name in ("ids", "scores", "lengths"):
                getattr(found, name).extend(getattr(made, name))
        return found


class Own(nn.Module):
    """Fused -> an input as its encoder gave it, instead of a memory of all."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, fused: Fused) -> Tokens:
        """Tokens at the encoder's own width."""
        return fused.own[self.name]


def _flatten_cache(kept: Any) -> Cache:
    """What a cache of transformers holds: of the text, and of what was read where that is apart."""
    if not hasattr(kept, "cross_attention_cache"):
        return flatten_cache(kept.layers)
    own, read = kept.self_attention_cache, kept.cross_attention_cache
    return {**flatten_cache(own.layers), **flatten_cache(read.layers, "read_")}


def _rebuild_cache(cache: Cache, *, apart: bool) -> Any:
    """The cache of transformers that holds this."""
    from transformers import DynamicCache, EncoderDecoderCache

    own = DynamicCache(unflatten_cache(cache))
    return EncoderDecoderCache(own, DynamicCache(unflatten_cache(cache, "read_"))) if apart else own
