"""SmolLM2-135M-Instruct: a GGUF file of four bits per weight -> a Hugging Face folder in half precision.

Ben Allal et al., SmolLM2: when Smol goes big, COLM 2025. ``transformers`` reads GGUF with the package ``gguf``; its
template for conversations comes with the tokenizer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from polyfuse.errors import extra


def convert(sources: Mapping[str, Path], folder: Path) -> None:
    """Write the model, its configuration and its tokenizer.

    Raises:
        ImportError: the package ``gguf`` is absent; says how to install it.
    """
    from safetensors.torch import save_file

    model, tokenizer = _read(*sources.values())
    tied = "lm_head.weight" if model.config.tie_word_embeddings else ""
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items() if name != tied}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    del model.config.quantization_config  # the folder holds plain numbers
    model.config.dtype = "float16"
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _read(source: Path) -> tuple[Any, Any]:
    """Model, its weights as numbers, and tokenizer."""
    with extra("language"):
        import gguf  # noqa: F401 - what transformers reads the file with
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    with redirect_stderr(io.StringIO()):  # a bar of progress that cannot be turned off; errors are raised all the same
        model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **where)
        return model, AutoTokenizer.from_pretrained(source.parent, **where)
