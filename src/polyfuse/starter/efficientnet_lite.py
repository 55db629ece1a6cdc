"""EfficientNet-Lite0: a plain state dict of torch -> a folder with the same weights under the encoder's own names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_PLACES = (  # what the package calls a layer -> what the encoder calls it
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.filter.conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.filter.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
_CLASSIFIER = "_fc."  # of the 1,000 classes of ImageNet; tokens do not need it


def convert(sources: Mapping[str, Path], folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``."""
    import torch
    from safetensors.torch import save_file

    (source,) = sources.values()
    read = torch.load(source, map_location="cpu", weights_only=True)
    weights = {_name(name): value.contiguous() for name, value in read.items() if not name.startswith(_CLASSIFIER)}
    norms = [name.removesuffix("running_mean") for name in weights if name.endswith("running_mean")]
    counts = {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms}
    save_file({**weights, **counts}, folder / "model.safetensors")
    config = {"model_type": "efficientnet-lite0", "encoder": "efficientnet_lite"}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf8")


def _name(name: str) -> str:
    for pattern, place in _PLACES:
        if re.match(pattern, name):
            return re.sub(pattern, place, name)
    raise ValueError(f"a weight of EfficientNet-Lite0 without a place: {name}")
