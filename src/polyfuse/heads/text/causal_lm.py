"""Causal language models from Hugging Face checkpoints: checks, tokenizer, and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from polyfuse.encoders.checkpoint import load_config, silence_transformers
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.heads.text.chat_template import Conversation
from polyfuse.heads.text.checkpoint import Spelling, check_train

WAYS = ("prefix", "gated")
EVERY = 4  # layers between two gated blocks, where nothing is said
KEPT = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def check_keywords(*, train: str = "frozen", way: str = "prefix", every: int | None = None, pack: int = 0) -> None:
    """Whether keywords of ``lm`` are what they can be, and go together.

    Raises:
        ValueError: says which does not.
    """
    check_train(train)
    if way not in WAYS:
        raise ValueError(f"way: expected {', '.join(WAYS)}, found {way!r}")
    for name, number, least in (("every", 1 if every is None else every, 1), ("pack", pack, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name}: expected a whole number from {least} on, found {number!r}")
    if every is not None and way != "gated":
        raise ValueError(f"every: it counts the layers between gated blocks, and there are none with way: {way}")
    if pack and way == "gated":
        raise ValueError("pack: sequences of several rows see no row's tokens by gated blocks; leave out pack, or way")


def load_spelling(path: str, weights: str) -> Spelling:
    """A checkpoint's own tokenizer, what ends a text, and what a saved model keeps of it.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it has no such tokenizer, or writes no texts from left to right.
    """
    folder = find(path, weights=weights, modality="text")
    check_causal_lm(folder)
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{path}: the folder has no tokenizer.json, without which texts cannot be spelt")
    kept = files_to_save(folder, *KEPT, "chat_template.jinja")
    return Spelling(kept, str(folder / "tokenizer.json"), Conversation(folder).end)


def check_causal_lm(folder: Path) -> None:
    """Whether a checkpoint is a language model that writes from left to right, without an encoder.

    Raises:
        ValueError: says what it is.
    """
    from transformers.models.auto import modeling_auto as known

    config, other = load_config(folder), "expected one that writes from left to right, such as GPT, Llama or SmolLM2"
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(f"{folder.name} ({kind}) has an encoder of its own before its decoder; {other}")
    masked = kind in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if masked or kind not in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        what = (
            "is an encoder alone, and no language model that writes" if masked else "is no language model that writes"
        )
        raise ValueError(f"{folder.name} ({kind}) {what}; {other}")
    for name in RESCALED:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise ValueError(f"{folder.name}: its logits are changed by {name}, which this decoder does not follow")


def load_causal_lm(folder: Path, weights: str) -> Any:
    """The model in single precision.

    Raises:
        ValueError: it writes no texts, or its logits are not a linear layer over its last states.
    """
    from transformers import AutoModelForCausalLM

    check_causal_lm(folder)
    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False}
    with silence_transformers():
        if weights == "random":
            return AutoModelForCausalLM.from_config(load_config(folder), **options)
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
