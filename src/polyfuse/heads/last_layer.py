"""The last layer of a Hugging Face token classifier: what its checkpoint says of every token, label by label.

Wolf et al., Transformers: state-of-the-art natural language processing, EMNLP 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.encoders.checkpoint import load_config, silence_transformers, tower
from polyfuse.encoders.hub import find

SAME = 1e-4  # how far the scores of layer and checkpoint may lie apart


def label_names(path: str) -> list[str]:
    """The labels of a token classifier, in the order of its scores.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it classifies no tokens.
    """
    folder = find(path)
    config = load_config(folder)
    kinds = config.architectures or []
    if not any(str(kind).endswith("ForTokenClassification") for kind in kinds):
        what = ", ".join(map(str, kinds)) or "no architecture"
        raise ValueError(
            f"{path}: expected a checkpoint ...ForTokenClassification, found {what}; read such a one by the encoder "
            f"{{name: pretrained, path: {path}}} and leave the head's path out"
        )
    return [str(config.id2label[n]) for n in range(config.num_labels)]


class LastLayer(nn.Module):
    """Tokens as the checkpoint's encoder gives them (..., H) -> scores of its labels (..., C).

    Args:
        path: of the checkpoint; its weights are read.
        files: folder with its ``config.json`` alone, whose weights come later; goes before ``path``.

    Raises:
        ValueError: between the encoder and the labels there is more than one linear layer.
    """

    def __init__(self, path: str | None, files: Path | None = None):
        super().__init__()
        if files is not None:
            config = load_config(files)
            self.out = nn.Linear(config.hidden_size, config.num_labels)
            return
        folder = find(str(path))
        from transformers import AutoModelForTokenClassification

        with silence_transformers():
            model: Any = AutoModelForTokenClassification.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
            ).eval()
        layers = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
        if not layers or layers[-1].bias is None:
            raise ValueError(f"{path}: its last layer is no linear one with an offset per label; not read here")
        self.out = layers[-1]
        self._check(model, str(path))

    def _check(self, model: Any, path: str) -> None:
        """Whether encoder and last layer together say what the whole checkpoint says."""
        ids_1T = torch.arange(3)[None]
        with torch.no_grad():
            whole_1TC = model(input_ids=ids_1T).logits
            base = tower(model.base_model, "text_model")
            own_1TC = self.out(base(input_ids=ids_1T).last_hidden_state)
        if whole_1TC.shape != own_1TC.shape or (whole_1TC - own_1TC).abs().max() > SAME:
            raise ValueError(f"{path}: its encoder and its labels have more than a linear layer between; not read here")

    @property
    def width(self) -> int:
        """H."""
        return self.out.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (..., H) -> (..., C)."""
        return self.out(x)
