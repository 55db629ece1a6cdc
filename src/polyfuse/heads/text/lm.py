"""A language model of Hugging Face that writes about the fused tokens, which stand in its prompt as words would.

Through a small projector, as LLaVA has it (Liu et al., NeurIPS 2023); the model itself is frozen, adapted or trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyfuse.encoders.checkpoint import config_of, quiet
from polyfuse.encoders.hub import copies, find
from polyfuse.heads.text.checkpoint import Spelling, check_train, kept_of, pairs_of, prepared, projector
from polyfuse.heads.text.decode import Cache
from polyfuse.heads.text.learning import Learning, References, mean_of
from polyfuse.heads.text.stepwise import StepwiseDecoder
from polyfuse.records import Tokens

PLACE = "<|polyfuse tokens|>"  # where the fused tokens stand while a conversation is written down
CHUNK = 1024  # units whose logits are there at once


class LM(StepwiseDecoder):
    """Fused tokens, projected to the width of its words, then a prompt, in the form of its conversations if it has one.

    Args:
        vocabulary: V of its tokenizer.
        width: D of the fused tokens.
        dropout: of the projector, in training.
        path: a local folder, a name on the Hugging Face Hub, or ``starter:smollm2``.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        train: what of it learns: ``frozen`` nothing, ``lora`` adapters on its linear layers, ``full`` all (then
            ``training.learning_rate`` should be some 5e-5). The projector always learns.
        prompt: what stands behind the fused tokens, such as ``Describe this picture.``

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it has no tokenizer, writes no texts, or ``train`` is none of the three.
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
    ):
        super().__init__(width)
        check_train(train)
        folder = find(path, weights=weights, modality="text")
        self.vocabulary, self.train_mode = vocabulary, train
        self.model = prepared(_model(folder, weights), train)
        size = self.model.get_input_embeddings().weight.shape[1]
        self.project = projector(width, size, dropout)
        # as long as its own words are, or the model would hear nothing else at first
        self.loudness: Tensor
        self.register_buffer("loudness", self.model.get_input_embeddings().weight.detach().float().std())
        self.norm = nn.LayerNorm(size)
        before, after, self.end = conversation(folder, prompt)
        self.before: Tensor
        self.after: Tensor
        self.register_buffer("before", torch.tensor(before, dtype=torch.long), persistent=False)
        self.register_buffer("after", torch.tensor(after, dtype=torch.long), persistent=False)

    @staticmethod
    def spelling(*, path: str, weights: str = "checkpoint", **_: Any) -> Spelling:
        """Its own tokenizer, and what a saved model keeps.

        Raises:
            ValueError: it has no such tokenizer.
        """
        folder = find(path, weights=weights, modality="text")
        if not (folder / "tokenizer.json").is_file():
            raise ValueError(f"{path}: the folder has no tokenizer.json, without which texts cannot be spelt")
        names = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
        kept = copies(folder, *names, "chat_template.jinja")
        return Spelling(kept, str(folder / "tokenizer.json"), conversation(folder, "")[2])

    def train(self, mode: bool = True) -> LM:
        """As ever, but a frozen model has no dropout."""
        super().train(mode)
        if self.train_mode == "frozen":
            self.model.eval()
        return self

    def _prefix(self, memory: Tokens) -> tuple[Tensor, Tensor]:
        """Vectors that stand before the text (N, P, H), and which are real (N, P)."""
        words, count = self.model.get_input_embeddings(), len(memory.x_BTD)
        x_NSH = self.norm(self.project(memory.x_BTD)) * self.loudness
        parts = [words(self.before).expand(count, -1, -1), x_NSH, words(self.after).expand(count, -1, -1)]
        real = memory.mask_BT.new_ones(count, 1)
        mask = torch.cat([real.expand(-1, len(self.before)), memory.mask_BT, real.expand(-1, len(self.after))], 1)
        return torch.cat(parts, 1), mask

    def _hidden(self, x_NPH: Tensor, mask_NP: Tensor) -> Tensor:
        places = (mask_NP.long().cumsum(-1) - 1).clamp_min(0)
        given = {"inputs_embeds": x_NPH, "attention_mask": mask_NP.long(), "position_ids": places}
        return self.model.base_model(**given, use_cache=False).last_hidden_state

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
        return self._hidden(x_NXH, mask_NX)[:, x_NPH.shape[1] - 1 :]

    def loss(self, memory: Tokens, texts: References, how: Learning) -> Tensor:
        """Mean cross-entropy per text (N,); logits are made in chunks, and again for the gradient."""
        before_NT, next_NT, there_NT = texts.shifted(self.end, self.end, self.end)
        if self.training and how.scheduled_sampling:
            with torch.no_grad():
                own_NT = self(memory, before_NT)[0].argmax(-1)[:, :-1]
            swap_NT = torch.rand(own_NT.shape, device=own_NT.device) < how.scheduled_sampling
            before_NT = torch.cat([before_NT[:, :1], torch.where(swap_NT, own_NT, before_NT[:, 1:])], 1)
        hidden_MH, target_M = self._read(memory, before_NT[:, 1:])[there_NT], next_NT[there_NT]
        smoothing = how.label_smoothing if self.training else 0.0

        def of(hidden_mH: Tensor, target_m: Tensor) -> Tensor:
            logits_mV = self._logits(hidden_mH).float()
            return F.cross_entropy(logits_mV, target_m, reduction="none", label_smoothing=smoothing)

        pieces = zip(hidden_MH.split(CHUNK), target_M.split(CHUNK), strict=True)
        found = [checkpoint(of, h, t, use_reentrant=False) for h, t in pieces]
        loss_NT = torch.zeros(there_NT.shape, device=there_NT.device)
        return mean_of(loss_NT.masked_scatter(there_NT, torch.cat(found)), there_NT)

    def begin(self, memory: Tokens) -> Cache:
        """Keys and values of the prompt, and what it says may come first."""
        x_NPH, mask_NP = self._prefix(memory)
        return self._further(x_NPH, mask_NP, None, "first")

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One further unit; the first was found by ``begin``."""
        if "first" in cache:
            return cache["first"], {name: value for name, value in cache.items() if name != "first"}
        x_N1H = self.model.get_input_embeddings()(ids_N[:, None])
        mask_NX = torch.cat([cache["mask"], cache["mask"].new_ones(len(ids_N), 1)], 1)
        after = self._further(x_N1H, mask_NX, cache, "next")
        return after.pop("next"), after

    def _further(self, x_NXH: Tensor, mask_NP: Tensor, cache: Cache | None, called: str) -> Cache:
        from transformers import DynamicCache

        kept = DynamicCache(pairs_of(cache) if cache else None)
        places = (mask_NP.long().cumsum(-1) - 1).clamp_min(0)[:, -x_NXH.shape[1] :]
        given = {"inputs_embeds": x_NXH, "attention_mask": mask_NP.long(), "position_ids": places}
        made = self.model.base_model(**given, past_key_values=kept, use_cache=True)
        return {
            called: self._logits(made.last_hidden_state[:, -1]),
            "mask": mask_NP,
            **kept_of(made.past_key_values.layers),
        }


def conversation(folder: Path, prompt: str) -> tuple[list[int], list[int], int]:
    """What stands before the fused tokens and behind them, as ids, and the id that ends an answer.

    Raises:
        ValueError: nothing ends a text of this checkpoint.
    """
    from transformers import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    end = tokenizer.eos_token_id
    end = config_of(folder).eos_token_id if end is None else end
    if not isinstance(end, int):
        raise ValueError(f"{folder.name}: its tokenizer and configuration name no single token that ends a text")
    if not tokenizer.chat_template:
        begin = tokenizer.bos_token_id
        return [end if begin is None else begin], _ids(tokenizer, f" {prompt}" if prompt else ""), end
    said: Any = [{"role": "user", "content": f"{PLACE}\n{prompt}" if prompt else PLACE}]
    written = str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
    before, _, after = written.partition(PLACE)
    return _ids(tokenizer, before), _ids(tokenizer, after), end


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _model(folder: Path, weights: str) -> Any:
    """The model in single precision.

    Raises:
        ValueError: it writes no texts, or its logits are not a linear layer over its last states.
    """
    from transformers import AutoModelForCausalLM

    config = config_of(folder)
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(f"{folder.name}: its logits are changed by {name}, which this decoder does not follow")
    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False}
    try:
        with quiet():
            if weights == "random":
                return AutoModelForCausalLM.from_config(config, **options)
            return AutoModelForCausalLM.from_pretrained(folder, config=config, local_files_only=True, **options)
    except ValueError as error:
        raise ValueError(f"{folder.name} is no language model that writes: {str(error).splitlines()[0]}") from None
