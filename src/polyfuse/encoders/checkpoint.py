"""Hugging Face checkpoints as encoders: building their models, and what every encoder made of one can do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def silence_transformers() -> Iterator[None]:
    """No progress bars and warnings of transformers while a checkpoint is read."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_config(folder: Path) -> Any:
    """The configuration of a checkpoint, as its own class; code that comes with a checkpoint is never run.

    Raises:
        ValueError: transformers does not have its architecture.
    """
    from transformers import AutoConfig

    try:
        with silence_transformers():
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError:
        written = json.loads((folder / "config.json").read_text(encoding="utf8"))
        kind = written.get("model_type")
        if "encoder" in written:  # a starter part that is no model of transformers
            raise ValueError(f"{folder.name} is read by the encoder {written['encoder']}, not by pretrained") from None
        raise ValueError(
            f"{folder.name}: transformers has no architecture {kind!r} of its own, and code that comes with a "
            "checkpoint is not run; update transformers, or choose another checkpoint"
        ) from None


# branches that training may skip, or noise that ignores torch's seed: every parameter must get its gradient
STEADY = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "use_cache": False,
}
# kinds whose encoder is whole in the model that writes alone: what prepares its input is missing elsewhere
WHOLE = ("vision-encoder-decoder", "speech-encoder-decoder", "speecht5")


def load_model(folder: Path, weights: str) -> tuple[nn.Module, list[nn.Parameter]]:
    """The model of a checkpoint in single precision, and those of its parameters that the weights lack."""
    from transformers import AutoModel

    config = load_config(folder)
    return _load(seq2seq_class(config) if config.model_type in WHOLE else AutoModel, folder, config, weights)


def load_seq2seq(folder: Path, weights: str) -> nn.Module:
    """The whole of a checkpoint that reads something and writes a text, in single precision.

    Raises:
        ValueError: it writes no text, or its weights are incomplete.
    """
    config = load_config(folder)
    model, missing = _load(seq2seq_class(config), folder, config, weights)
    if missing:
        names = [name for name, p in model.named_parameters() if any(p is lacking for lacking in missing)]
        raise ValueError(f"{folder.name}: its weights lack {len(names)} that writing needs, such as {names[0]}")
    return model


def seq2seq_class(config: Any) -> Any:
    """The class that builds a model which reads something and writes a text; None where there is none."""
    import transformers as hf

    makers = {
        hf.AutoModelForSpeechSeq2Seq: hf.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
        hf.AutoModelForImageTextToText: hf.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        hf.AutoModelForSeq2SeqLM: hf.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    }
    return next((made for made, known in makers.items() if type(config) in known), None)


def _load(auto: Any, folder: Path, config: Any, weights: str) -> tuple[nn.Module, list[nn.Parameter]]:
    for own in (config, *(part for part in vars(config).values() if hasattr(part, "model_type"))):
        for name in STEADY.keys() & vars(own).keys():
            setattr(own, name, STEADY[name])
    with silence_transformers():
        if weights == "random":
            return auto.from_config(config, dtype=torch.float32, trust_remote_code=False), []
        model, report = auto.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    return model, [p for name, p in model.named_parameters() if name in report["missing_keys"]]


def tokenizer_of(folder: Path) -> Path:
    """The checkpoint's ``tokenizer.json``, made from its older vocabulary files where it has none."""
    if (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json"
    if not any(
        f.stem.startswith(("vocab", "spiece", "spm")) or f.suffix in (".model", ".spm") for f in folder.iterdir()
    ):
        raise ValueError(f"{folder}: it has no tokenizer, neither tokenizer.json nor an older vocabulary")
    from huggingface_hub import constants
    from transformers import AutoTokenizer

    content = b"".join(f.read_bytes() for f in sorted(folder.iterdir()) if f.suffix in (".txt", ".json", ".model"))
    made = Path(constants.HF_HOME) / "polyfuse" / hashlib.sha256(content).hexdigest()[:16]
    if not (made / "tokenizer.json").is_file():
        with silence_transformers():
            AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).save_pretrained(made)
    if not (made / "tokenizer.json").is_file():
        raise ValueError(f"{folder}: its tokenizer cannot be written as tokenizer.json, which polyfuse reads")
    return made / "tokenizer.json"


def tower(model: Any, *names: str) -> Any:
    """The part of a model for one modality: one of these attributes, or the encoder of an encoder-decoder."""
    for name in names:
        if hasattr(model, name):
            return getattr(model, name)
    return model.get_encoder() if model.config.is_encoder_decoder else model


def keep_layers(model: Any, layers: int | None) -> Any:
    """The model with its first blocks only, as earlier layers often suit other work better than the last.

    Raises:
        ValueError: there are not as many, or each stage of the model has a width of its own.
    """
    if layers is None:
        return model
    blocks = find_blocks(model)
    if hasattr(model.config, "depths"):
        raise ValueError(f"layers={layers}: the stages of a {model.config.model_type} model cannot be left out")
    if not 1 <= layers <= len(blocks):
        raise ValueError(f"layers={layers}: this checkpoint has {len(blocks)}; expected 1 to {len(blocks)}")
    del blocks[layers:]
    return model


def find_blocks(model: nn.Module) -> nn.ModuleList:
    """The list of blocks that makes up most of a model: its transformer layers, or its stages."""
    lists = [m for m in model.modules() if type(m) is nn.ModuleList]
    return max(lists, key=lambda blocks: sum(p.numel() for p in blocks.parameters()))


class CheckpointEncoder(nn.Module):
    """What encoders made of a checkpoint share. A subclass builds its parts, then calls ``settle``.

    Attributes:
        width: of a token.
        grid: of the sample's tokens.
        unused: names of parameters that no token depends on, such as a pooler's; they are frozen.
    """

    width: int
    grid: tuple[int, ...]
    unused: frozenset[str]

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build the encoder again from the files of its ``Spec``; its weights come later."""
        return {"path": str(folder), "weights": "random"}

    def settle(self, sample: dict[str, Tensor], missing: list[nn.Parameter]) -> None:
        """Encode a sample, learn the width from it, and freeze what its tokens do not depend on.

        Args:
            sample: fields with one cell.
            missing: parameters that the weights lack; fine where unused.

        Raises:
            ValueError: tokens depend on parameters that the weights lack.
        """
        self.eval()
        with torch.enable_grad():
            tokens = self(sample, torch.ones(1, dtype=torch.bool))
        reached, absent = _source_parameters(tokens.x_BTD), {id(p) for p in missing}
        lacking = [name for name, p in self.named_parameters() if id(p) in reached & absent]
        if lacking:
            raise ValueError(f"the checkpoint's weights lack {len(lacking)} that its tokens need, such as {lacking[0]}")
        self.width, self.grid = tokens.width, tokens.grid
        self.unused = frozenset(name for name, p in self.named_parameters() if id(p) not in reached)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in self.unused)
        self.train()

    def layers_bottom_up(self) -> list[list[nn.Parameter]]:
        """The parameters that tokens depend on: embeddings, then block by block, then the final norm."""
        place = {id(p): n for n, block in enumerate(find_blocks(self), 1) for p in block.parameters()}
        groups: list[list[nn.Parameter]] = [[] for _ in range(max(place.values()) + 2)]
        after = 0
        for name, parameter in self.named_parameters():
            after = len(groups) - 1 if id(parameter) in place else after
            if name not in self.unused:
                groups[place.get(id(parameter), after)].append(parameter)
        return [group for group in groups if group]

    def train(self, mode: bool = True) -> CheckpointEncoder:
        """As ever, but statistics of batch normalisation stay those of the checkpoint."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def _source_parameters(x: Tensor) -> set[int]:
    """The ids of the parameters that a tensor was computed from."""
    found, seen, todo = set(), set(), [x.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found.add(id(getattr(node, "variable", None)))
        todo.extend(earlier for earlier, _ in node.next_functions)
    return found
