"""SmolLM2-135M-Instruct: a GGUF file of four bits per weight -> a Hugging Face folder in half precision.

Ben Allal et al., SmolLM2: when Smol goes big, COLM 2025. ``transformers`` reads GGUF with the package ``gguf``; its
template for conversations comes with the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from polyfuse.errors import extra


def convert(sources: Mapping[str, Path], folder: Path) -> None:
    """Write the model, its configuration and its tokenizer.

    Raises:
        ImportError: the package ``gguf`` is absent; says how to install it.
    """
    with extra("language"):
        import gguf  # noqa: F401 - what transformers reads the file with

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    (source,) = sources.values()
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        where = {"gguf_file": source.name, "local_files_only": True}
        model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float16, **where)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, **where).save_pretrained(folder)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
