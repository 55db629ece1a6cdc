"""The chat template of a language model, where it has one, as ids of its own tokenizer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from polyfuse.encoders.checkpoint import load_config, silence_transformers

PLACE = "<|polyfuse tokens|>"  # where the fused tokens stand while a conversation is written down
WORDS = "<|polyfuse prompt|>"  # where the prompt stands
LONGEST = 512  # tokens of a prompt that are read


class Conversation:
    """What stands before the fused tokens and behind them.

    Args:
        folder: of a checkpoint with a tokenizer.
        tokens: whether fused tokens stand in it, in front of the prompt; a model that sees them otherwise is told the
            prompt alone.

    Attributes:
        before: ids in front of the fused tokens.
        end: the id that ends an answer.

    Raises:
        ValueError: nothing ends a text of this checkpoint, or its conversations leave out what they are told.
    """

    def __init__(self, folder: Path, *, tokens: bool = True):
        from transformers import AutoTokenizer

        with silence_transformers():
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        end = self.tokenizer.eos_token_id
        end = load_config(folder).eos_token_id if end is None else end
        if not isinstance(end, int):
            raise ValueError(f"{folder.name}: its tokenizer and configuration name no single token that ends a text")
        self.end, self._cut = end, False
        begin = self.tokenizer.bos_token_id
        self._begin = end if begin is None else begin
        self.before: list[int] = [self._begin]
        self._told = self._silent = ""
        if self.tokenizer.chat_template:
            first = f"{PLACE}\n" if tokens else ""
            told, silent = (self._written(folder, content) for content in (first + WORDS, PLACE if tokens else WORDS))
            head, self._told = told.split(PLACE) if tokens else ("", told)
            self._silent = silent.split(PLACE)[1] if tokens else silent.replace(WORDS, "")
            self.before = self._ids(head)

    def _written(self, folder: Path, content: str) -> str:
        said = [{"role": "user", "content": content}]
        written = str(self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
        if any(mark in content and written.count(mark) != 1 for mark in (PLACE, WORDS)):
            raise ValueError(f"{folder.name}: its chat template does not write down what it is told, once")
        return written

    def behind(self, prompt: str) -> list[int]:
        """Ids behind the fused tokens, where a prompt is told: one at least, as an answer goes on from the last."""
        prompt = self._short(prompt.strip())
        if self.tokenizer.chat_template:
            ids = self._ids(self._told.replace(WORDS, prompt) if prompt else self._silent)
        else:
            ids = self._ids(f" {prompt}" if prompt else "\n")
        return ids or [self._begin]

    def _short(self, prompt: str) -> str:
        """The beginning of a prompt that is too long."""
        ids = self._ids(prompt)
        if len(ids) <= LONGEST:
            return prompt
        if not self._cut:
            self._cut = True
            logging.getLogger("polyfuse").warning(
                f"a prompt has {len(ids):,} tokens, and only the first {LONGEST} are read, of others as well: "
                f"{prompt[:60]!r}…"
            )
        return self.tokenizer.decode(ids[:LONGEST]).strip()

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
