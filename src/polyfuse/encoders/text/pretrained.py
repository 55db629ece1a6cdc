"""Texts through a Hugging Face checkpoint, with its own tokenizer."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.checkpoint import (
    CheckpointEncoder,
    keep_layers,
    load_config,
    load_model,
    silence_transformers,
    tokenizer_of,
    tower,
)
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.layers.masking import Subwords
from polyfuse.layers.positions import length_mask
from polyfuse.layers.windows import in_windows
from polyfuse.records import Spec, Tokens

USUAL = 256  # tokens that "auto" keeps: most texts fit, and attention stays quick


class Pretrained(CheckpointEncoder):
    """Any Hugging Face text checkpoint: BERT- and GPT-style models, and the text encoders of T5, BART and CLIP.

    Args:
        path: a local folder, a name on the Hugging Face Hub, or ``starter:NAME``.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        layers: how many of its first blocks to keep; all where None.
        max_tokens: longer texts are cut, or read in windows of so many; ``"auto"`` is 256, or fewer where the
            checkpoint has fewer positions.
        whole: cut no text, but read it in windows that overlap; so where its words are tagged.

    Raises:
        FileNotFoundError: no such checkpoint, here or within reach.
        ValueError: it has no tokenizer of the ``tokenizers`` library, fewer positions, or fewer layers.

    See also:
        ``ngrams`` for names, codes and key words, or where no checkpoint knows the language.
    """

    paper = "Wolf et al., Transformers: state-of-the-art natural language processing, EMNLP 2020"

    @spec_of()
    @staticmethod
    def wants(path: str, weights: str, max_tokens: int | str, whole: bool) -> Spec:
        """Ids of the checkpoint's own tokenizer."""
        folder = find(path, weights=weights, modality="text")
        tokenizer = str(tokenizer_of(folder))
        files = {**files_to_save(folder, "tokenizer_config.json"), "tokenizer.json": tokenizer}
        keywords = {"file": tokenizer, "max_tokens": _max_tokens(folder, max_tokens), "whole": whole}
        return Spec("text.tokenizer", keywords, files)

    @staticmethod
    def word_by_word(**keywords: Any) -> dict[str, Any]:
        """Its keywords where words are tagged."""
        return {"whole": True, **keywords}

    def __init__(
        self,
        *,
        path: str,
        weights: str = "checkpoint",
        layers: int | None = None,
        max_tokens: int | str = "auto",
        whole: bool = False,
    ):
        super().__init__()
        folder = find(path, weights=weights, modality="text")
        model, missing = load_model(folder, weights)
        self.model = keep_layers(tower(model, "text_model"), layers)
        self.prefix, behind = _specials_around(tokenizer_of(folder))
        self.around, self.window = (self.prefix, behind), _max_tokens(folder, max_tokens) if whole else None
        self.marks = _special_tokens(tokenizer_of(folder))
        sample = {"ids": torch.ones(1, 3, dtype=torch.long), "span": torch.zeros(1, 3, 2, dtype=torch.long)}
        self.settle({**sample, "lengths": torch.tensor([3])}, missing)

    def masking(self) -> Subwords:
        """Subwords can be hidden, by the mask that the checkpoint was trained with.

        Raises:
            ValueError: it has none.
        """
        mask = next((self.marks[name] for name in ("[MASK]", "<mask>") if name in self.marks), None)
        if mask is None:
            raise ValueError("the checkpoint's tokenizer has no mask, so its texts cannot be masked")
        return Subwords(self.model.get_input_embeddings().num_embeddings, mask, [*self.marks.values()], self.prefix)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``ids`` (U, T), ``span`` (U, T, 2), ``lengths`` (U,) -> one token per subword (U, T, D)."""
        ids_UT, lengths_U = fields["ids"], fields["lengths"].clamp_min(1)
        mask_UT = length_mask(lengths_U, ids_UT.shape[1])
        if self.window is None:
            x_UTD = self._read(ids_UT, mask_UT)
        else:
            x_UTD = in_windows(self._read, ids_UT, mask_UT, lengths_U, self.window, self.around)
        grid = (x_UTD.shape[1] - self.prefix,)
        return Tokens(x_UTD, mask_UT & present_B[:, None], grid, self.prefix, fields["span"])

    def _read(self, ids_UT: Tensor, mask_UT: Tensor) -> Tensor:
        return self.model(input_ids=ids_UT, attention_mask=mask_UT.long()).last_hidden_state


def _specials_around(tokenizer: Path) -> tuple[int, int]:
    """Special tokens in front of a text, such as [CLS], and behind it."""
    from tokenizers import Tokenizer

    marks = Tokenizer.from_file(str(tokenizer)).encode("a").special_tokens_mask
    front, behind = (len(list(takewhile(bool, side))) for side in (marks, marks[::-1]))
    return front, behind if front < len(marks) else 0


def _special_tokens(tokenizer: Path) -> dict[str, int]:
    """Special tokens of a tokenizer, which stand for no piece of a text, and their ids."""
    added = json.loads(tokenizer.read_text(encoding="utf8")).get("added_tokens", [])
    return {token["content"]: int(token["id"]) for token in added if token.get("special")}


def _max_tokens(folder: Path, wanted: int | str) -> int:
    """How many tokens of a text to keep, within the positions of the checkpoint."""
    limit = _max_positions(folder)
    if wanted == "auto":
        return min(USUAL, limit)
    if not isinstance(wanted, int) or not 2 <= wanted <= limit:
        raise ValueError(f"max_tokens={wanted!r}: {folder.name} has {limit:,} positions; expected 2 to that, or 'auto'")
    return wanted


def _max_positions(folder: Path) -> int:
    """The most tokens that a checkpoint has positions for; counted without making weights."""
    from transformers import AutoModel

    with torch.device("meta"), silence_transformers():
        model = tower(AutoModel.from_config(load_config(folder), trust_remote_code=False), "text_model")
    limits = [getattr(model.config, "max_position_embeddings", None), _model_max_length(folder)]
    for name, table in model.named_modules():
        if "position" in name and isinstance(table, nn.Embedding):  # RoBERTa counts from behind its padding
            limits.append(table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    return min((limit for limit in limits if limit), default=10**6)


def _model_max_length(folder: Path) -> int | None:
    """``model_max_length`` of the tokenizer; some state a number beyond all use."""
    file = folder / "tokenizer_config.json"
    stated = json.loads(file.read_text(encoding="utf8")).get("model_max_length") if file.is_file() else None
    return int(stated) if stated and stated < 10**6 else None
