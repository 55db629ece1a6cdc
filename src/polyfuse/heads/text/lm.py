"""A language model of Hugging Face that writes about the fused tokens, which stand in its prompt or between its layers.

As a prefix through a small projector, as LLaVA has it (Liu et al., NeurIPS 2023), or through gated cross-attention
before some of its layers, as Flamingo has it (Alayrac et al., NeurIPS 2022); the model is frozen, adapted or trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyfuse.encoders.checkpoint import find_blocks
from polyfuse.encoders.hub import find
from polyfuse.heads.text.causal_lm import EVERY, check_keywords, load_causal_lm, load_spelling
from polyfuse.heads.text.chat_template import Conversation
from polyfuse.heads.text.checkpoint import Spelling, flatten_cache, projector, set_trainable, unflatten_cache
from polyfuse.heads.text.decode import Cache
from polyfuse.heads.text.gated import GatedBlocks
from polyfuse.heads.text.memory import select_rows
from polyfuse.heads.text.packing import pack_rows
from polyfuse.heads.text.prompt import Template
from polyfuse.heads.text.stepwise import StepwiseDecoder
from polyfuse.heads.text.teacher_forcing import Learning, References, mask_banned, mean_over_units
from polyfuse.records import Tokens

CHUNK = 1024  # units whose logits are there at once


@dataclass
class PromptedTokens(Tokens):
    """Tokens of every row, and what is said behind them: ids (B, P), padded in front, and which are real (B, P)."""

    ids_BP: Tensor | None = None
    real_BP: Tensor | None = None


class LM(StepwiseDecoder):
    """Reads the fused tokens and a prompt, in the form of its conversations if it has one, and answers.

    Args:
        vocabulary: V of its tokenizer.
        width: D of the fused tokens.
        dropout: of the projector and of gated blocks, in training.
        path: a local folder, a name on the Hugging Face Hub, or ``starter:smollm2``.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        train: what of it learns: ``frozen`` nothing, ``lora`` adapters on the linear layers below its logits, ``full``
            all (then ``training.learning_rate`` should be some 5e-5). The projector and gated blocks always learn.
        prompt: what it is told, such as ``Describe this picture.``, with columns of the table between braces:
            ``Question: {question}``.
        way: how the fused tokens come in: ``prefix``, as words in front of the prompt, or ``gated``, by cross-attention
            before some layers; then it begins by writing as it does without them.
        every: layers between two gated blocks, 4 by default.
        pack: learn the texts of several rows in one sequence of so many tokens, the prefix of a row once for all of its
            references; 0 for a sequence per text.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it has no tokenizer, writes no texts, or a keyword is none of its values.
    """

    paper = "Liu et al., Visual Instruction Tuning, NeurIPS 2023"

    def __init__(
        self,
        vocabulary: int,
        width: int,
        dropout: float,
        *,
        path: str,
        weights: str = "checkpoint",
        train: str = "frozen",
        prompt: str = "",
        way: str = "prefix",
        every: int | None = None,
        pack: int = 0,
    ):
        super().__init__(width)
        check_keywords(train=train, way=way, every=every, pack=pack)
        folder = find(path, weights=weights, modality="text")
        self.vocabulary, self.train_mode, self.packs = vocabulary, train, pack
        self.model = load_causal_lm(folder, weights)
        set_trainable(self.model.base_model, train)
        self.model.get_output_embeddings().requires_grad_(train == "full")  # its weights may be those of the words
        size = self.model.get_input_embeddings().weight.shape[1]
        self.project = projector(width, size, dropout)
        # as long as its own words are, or the model would hear nothing else at first
        self.loudness: Tensor
        self.register_buffer("loudness", self.model.get_input_embeddings().weight.detach().float().std())
        self.norm = nn.LayerNorm(size)
        heads = getattr(self.model.config, "num_attention_heads", 1)
        options: dict[str, Any] = {"every": EVERY if every is None else every, "heads": heads, "dropout": dropout}
        self.gated = GatedBlocks(list(find_blocks(self.model)), size, **options) if way == "gated" else None
        self.template, self.conversation = Template(prompt), Conversation(folder, tokens=way == "prefix")
        self.end = self.conversation.end
        self.before: Tensor
        self.register_buffer("before", torch.tensor(self._opening, dtype=torch.long), persistent=False)

    @property
    def _opening(self) -> list[int]:
        """Ids that stand in front of every row alike; with gated blocks they are part of what is said."""
        return self.conversation.before if self.gated is None else []

    @staticmethod
    def spelling(*, path: str, weights: str = "checkpoint", **others: Any) -> Spelling:
        """Its own tokenizer, and what a saved model keeps.

        Raises:
            ValueError: it has no such tokenizer, writes no texts, or a keyword is none of its values.
        """
        check_keywords(**{name: others[name] for name in ("train", "way", "every", "pack") if name in others})
        return load_spelling(path, weights)

    def train(self, mode: bool = True) -> LM:
        """As ever, but a frozen model has no dropout."""
        super().train(mode)
        if self.train_mode == "frozen":
            self.model.eval()
        return self

    def told(self, memory: Tokens, prompts: list[str]) -> PromptedTokens:
        """The tokens of every row with its prompt, as ids."""
        known = {prompt: self.conversation.behind(prompt) for prompt in dict.fromkeys(prompts)}
        rows, device = [known[prompt] for prompt in prompts], memory.x_BTD.device
        most = max(map(len, rows), default=0)
        ids_BP = torch.tensor([[self.end] * (most - len(ids)) + ids for ids in rows], dtype=torch.long)
        lengths_B1 = torch.tensor([len(ids) for ids in rows], dtype=torch.long)[:, None]
        real_BP = torch.arange(most) >= most - lengths_B1
        return PromptedTokens(memory.x_BTD, memory.mask_BT, ids_BP=ids_BP.to(device), real_BP=real_BP.to(device))

    def _told(self, memory: Tokens) -> tuple[Tensor, Tensor]:
        """Ids behind the tokens, and which are real; those of a prompt without columns where none was told."""
        if not isinstance(memory, PromptedTokens):
            memory = self.told(memory, self.template.of_rows(len(memory.x_BTD), None, str))
        assert memory.ids_BP is not None
        assert memory.real_BP is not None
        return memory.ids_BP, memory.real_BP

    def _prefix(self, memory: Tokens) -> tuple[Tensor, Tensor]:
        """Vectors that stand before the text (N, P, H), and which are real (N, P)."""
        words, count = self.model.get_input_embeddings(), len(memory.x_BTD)
        ids_NP, real_NP = self._told(memory)
        if self.gated is not None:
            return words(ids_NP), real_NP
        x_NSH = self._seen(memory) * self.loudness
        parts = [words(self.before).expand(count, -1, -1), x_NSH, words(ids_NP)]
        always = memory.mask_BT.new_ones(count, len(self.before))
        return torch.cat(parts, 1), torch.cat([always, memory.mask_BT, real_NP], 1)

    def _seen(self, memory: Tokens) -> Tensor:
        """The fused tokens at the model's width (N, S, H)."""
        return self.norm(self.project(memory.x_BTD))

    @contextmanager
    def _looking(self, memory: Tokens) -> Iterator[None]:
        """Within, the layers see the fused tokens, if that is how they come in."""
        if self.gated is None:
            yield
        else:
            with self.gated.seeing(self.gated.keys_values(self._seen(memory)), memory.mask_BT):
                yield

    def _run(self, x_NXH: Tensor, seen: Tensor, place_NX: Tensor, **cached: Any) -> Any:
        """What the model makes of vectors, given what each sees (a mask of two or four axes) and their places."""
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and (needed := int(place_NX.max()) + 1) > room:
            raise ValueError(
                f"{self.model.config.model_type}: tokens, prompt and text take up to {needed:,} places, and it has "
                f"{room:,}; set a smaller max_length, shorten the prompt, or let fewer tokens in (cache: pooled)"
            )
        given = {"inputs_embeds": x_NXH, "attention_mask": seen, "position_ids": place_NX}
        return self.model.base_model(**given, **cached)

    def _logits(self, x_MH: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(x_MH)[..., : self.vocabulary]

    def forward(self, memory: Tokens, before_NT: Tensor) -> tuple[Tensor, None]:
        """What came before each unit, its first column standing for the prompt -> logits (N, T, V)."""
        return self._logits(self._read(memory, before_NT[:, 1:])), None

    def _read(self, memory: Tokens, ids_NT: Tensor) -> Tensor:
        """Hidden states from the last word of the prompt on (N, T + 1, H)."""
        x_NPH, mask_NP = self._prefix(memory)
        x_NXH = torch.cat([x_NPH, self.model.get_input_embeddings()(ids_NT)], 1)
        mask_NX = torch.cat([mask_NP, mask_NP.new_ones(ids_NT.shape)], 1)
        cached, done = self._opened(len(x_NXH))
        place_NX = (mask_NX.long().cumsum(-1) - 1).clamp_min(0)
        with self._looking(memory):
            made = self._run(x_NXH[:, done:], mask_NX.long(), place_NX[:, done:], **cached)
        return made.last_hidden_state[:, x_NPH.shape[1] - 1 - done :]

    def _opened(self, count: int) -> tuple[dict[str, Any], int]:
        """What a frozen model keeps of the ids that all rows begin with, found once for all rows and without gradient.

        Nothing that learns stands before them. Gives the arguments of ``_run``, and how many ids that is.
        """
        from transformers import DynamicCache

        done = len(self.before)
        if self.train_mode != "frozen" or done < 2:
            return {"use_cache": False}, 0
        with torch.no_grad():
            x_1PH = self.model.get_input_embeddings()(self.before[None])
            one_1P = torch.ones_like(self.before[None])
            made = self._run(x_1PH, one_1P, one_1P.cumsum(-1) - 1, past_key_values=DynamicCache(), use_cache=True)
        kept = [
            tuple(t.expand(count, *t.shape[1:]) for t in (layer.keys, layer.values))
            for layer in made.past_key_values.layers
        ]
        return {"past_key_values": DynamicCache(kept), "use_cache": True}, done

    def _packed(self, memory: Tokens, row_N: Tensor, ids_NT: Tensor, there_NT: Tensor) -> Tensor:
        """Hidden states before each unit that is there (M, H), several rows in a sequence."""
        live_N = there_NT.any(1)
        row_N, ids_NT, there_NT = row_N[live_N], ids_NT[live_N], there_NT[live_N]
        x_NPH, mask_NP = self._prefix(memory)
        done = len(self.before) if self.train_mode == "frozen" and len(self.before) > 1 else 0
        real_NT = there_NT[:, 1:]  # a unit is read where it is followed by one
        found = pack_rows(mask_NP[:, done:], real_NT, row_N, self.packs)
        sequences, length = found.position_SL.shape
        place_P, place_T = found.prefix_P, found.text_P
        x_XH = x_NPH.new_zeros(sequences * length, x_NPH.shape[-1])
        used_B = torch.zeros(len(x_NPH), dtype=torch.bool, device=row_N.device).index_fill(0, row_N, True)
        x_XH = x_XH.index_copy(0, place_P, x_NPH[:, done:][mask_NP[:, done:] & used_B[:, None]])
        x_XH = x_XH.index_copy(0, place_T, self.model.get_input_embeddings()(ids_NT[real_NT]).to(x_XH.dtype))
        cached, done = self._opened(sequences)
        seen_SLX = F.pad(found.seen_SLL, (done, 0), value=True)
        made = self._run(
            x_XH.view(sequences, length, -1), self._four_axes(seen_SLX, x_XH), found.position_SL + done, **cached
        )
        at_NT = torch.full_like(ids_NT, -1).masked_scatter(real_NT, place_T)
        at_M = torch.cat([found.last_N[:, None], at_NT], 1)[there_NT]
        return made.last_hidden_state.flatten(0, 1)[at_M]

    def _four_axes(self, seen_SLX: Tensor, like: Tensor) -> Tensor:
        """A mask as the model's attention wants it: of its own, or added to what it computes."""
        if self.model.config._attn_implementation == "sdpa":
            return seen_SLX[:, None]
        return torch.where(seen_SLX, 0.0, torch.finfo(like.dtype).min).to(like.dtype)[:, None]

    def loss(self, memory: Tokens, texts: References, how: Learning) -> Tensor:
        """Mean cross-entropy per text (N,); logits are made in chunks, and again for the gradient."""
        before_NT, next_NT, there_NT = texts.shifted(self.end, self.end, self.end)
        own = memory if texts.row_N is None else select_rows(memory, texts.row_N)
        if self.training and how.scheduled_sampling:
            with torch.no_grad():
                own_NT = self(own, before_NT)[0].argmax(-1)[:, :-1]
            swap_NT = torch.rand(own_NT.shape, device=own_NT.device) < how.scheduled_sampling
            before_NT = torch.cat([before_NT[:, :1], torch.where(swap_NT, own_NT, before_NT[:, 1:])], 1)
        if self.packs and texts.row_N is not None and there_NT.any():
            hidden_MH = self._packed(memory, texts.row_N, before_NT[:, 1:], there_NT)
        else:
            hidden_MH = self._read(own, before_NT[:, 1:])[there_NT]
        smoothing = how.label_smoothing if self.training else 0.0
        return mean_over_units(self._losses(hidden_MH, next_NT, there_NT, smoothing=smoothing), there_NT)

    def log_probability(self, memory: Tokens, texts: References, banned: Sequence[int]) -> Tensor:
        """Log-probability of every text (N,), its end included, among those without the banned units."""
        before_NT, next_NT, there_NT = texts.shifted(self.end, self.end, self.end)
        hidden_MH = self._read(memory, before_NT[:, 1:])[there_NT]
        return -self._losses(hidden_MH, next_NT, there_NT, banned=banned).sum(1)

    def _losses(
        self,
        hidden_MH: Tensor,
        next_NT: Tensor,
        there_NT: Tensor,
        *,
        smoothing: float = 0.0,
        banned: Sequence[int] = (),
    ) -> Tensor:
        """Cross-entropy of every unit that is there (N, T), 0 elsewhere, given the states before them (M, H)."""
        target_M = next_NT[there_NT]

        def of(hidden_mH: Tensor, target_m: Tensor) -> Tensor:
            logits_mV = mask_banned(self._logits(hidden_mH), banned)
            return F.cross_entropy(logits_mV, target_m, reduction="none", label_smoothing=smoothing)

        pieces = zip(hidden_MH.split(CHUNK), target_M.split(CHUNK), strict=True)
        found = [checkpoint(of, h, t, use_reentrant=False) for h, t in pieces]
        loss_NT = torch.zeros(there_NT.shape, device=there_NT.device)
        return loss_NT.masked_scatter(there_NT, torch.cat(found))

    def begin(self, memory: Tokens) -> Cache:
        """Keys and values of the prompt, what it says may come first, and keys and values of what gated blocks see."""
        x_NPH, mask_NP = self._prefix(memory)
        looks: Cache = {}
        if self.gated is not None:
            looks["look_mask"] = memory.mask_BT
            for n, (key, value) in enumerate(self.gated.keys_values(self._seen(memory))):
                looks[f"look_key_{n}"], looks[f"look_value_{n}"] = key, value
        return self._further(x_NPH, mask_NP, looks, "first")

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One further unit; the first was found by ``begin``."""
        if "first" in cache:
            return cache["first"], {name: value for name, value in cache.items() if name != "first"}
        x_N1H = self.model.get_input_embeddings()(ids_N[:, None])
        mask_NX = torch.cat([cache["mask"], cache["mask"].new_ones(len(ids_N), 1)], 1)
        after = self._further(x_N1H, mask_NX, cache, "next")
        return after.pop("next"), after

    def _further(self, x_NXH: Tensor, mask_NP: Tensor, cache: Cache, called: str) -> Cache:
        from transformers import DynamicCache

        place_NX = (mask_NP.long().cumsum(-1) - 1).clamp_min(0)[:, -x_NXH.shape[1] :]
        cached = {"past_key_values": DynamicCache(unflatten_cache(cache) or None), "use_cache": True}
        if self.gated is None:
            made = self._run(x_NXH, mask_NP.long(), place_NX, **cached)
        else:
            with self.gated.seeing(unflatten_cache(cache, "look_"), cache["look_mask"]):
                made = self._run(x_NXH, mask_NP.long(), place_NX, **cached)
        found = {name: value for name, value in cache.items() if name.startswith("look_")}
        found |= {called: self._logits(made.last_hidden_state[:, -1]), "mask": mask_NP}
        return found | flatten_cache(made.past_key_values.layers)
