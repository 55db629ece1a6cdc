"""What a model is made of: its parts, their parameters, their size on disk, and what each input costs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.data.batches import gather
from polyfuse.data.prepare import prepare
from polyfuse.data.tables import Table
from polyfuse.evaluation.rendering import Rendered, plain_text
from polyfuse.model.bundle import Bundle
from polyfuse.model.prepare import columns_of, read_options
from polyfuse.recipe.outputs import head_columns
from polyfuse.system.device import device_of

TIMED_ROWS = 64


@dataclass(frozen=True)
class PartSummary:
    """One part of a model.

    Args:
        kind: ``input``, ``fusion``, ``output``, ``objective`` or ``member``.
        name: of the input or output; of the part itself otherwise.
        what: what it is, and what it reads.
        trained: of an input: ``full``, ``frozen``, ``staged`` or ``lora``; nothing of other parts.
        parameters: numbers that it holds, trained or not.
        size: bytes of its weights on disk.
        milliseconds: to read and to encode one row, where a table was given to measure by.
    """

    kind: str
    name: str
    what: str
    trained: str
    parameters: int
    size: int
    milliseconds: float | None = None


@dataclass(frozen=True, repr=False)
class Summary(Rendered):
    """What a model is made of. Printed, it is a table.

    Args:
        name: the model's.
        parts: inputs, fusion, outputs, objectives, and who answers beside the network.
        size: bytes of all weights; of the whole folder where the model has one.
        folder: where the model lies.
        facts: of its training.
    """

    name: str
    parts: list[PartSummary]
    size: int
    folder: Path | None
    facts: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Of all parts."""
        return sum(part.parameters for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.name,
            "folder": None if self.folder is None else str(self.folder),
            "parameters": self.parameters,
            "bytes": self.size,
            "parts": [asdict(part) for part in self.parts],
            "training": self.facts,
        }

    def __repr__(self) -> str:
        return plain_text(self)


def summarise(bundle: Bundle, name: str, folder: Path | None = None, table: Table | None = None) -> Summary:
    """The summary of a model.

    Args:
        folder: where it lies on disk.
        table: some rows of it are read and encoded to measure what each input costs.
    """
    network, recipe = bundle.network, bundle.recipe
    costs = _milliseconds(bundle, table) if table is not None else {}
    beside = head_columns(recipe)
    seen: set[int] = set()  # networks of an ensemble share what none of them trains
    parts = []
    for input_name, item in recipe.inputs.items():
        readers = recipe.reads[input_name]
        own: list[nn.Module] = [network.encoder(reader) for reader in readers]
        own += [network.join(reader) for reader in network.fused[input_name]]
        what = f"{item.named} on {', '.join(item.columns)}"
        trained = dict.fromkeys(recipe.readers[reader].transfer for reader in readers)
        parts.append(_part("input", input_name, what, own, seen, " + ".join(trained), costs.get(input_name)))
    if network.fusion is not None:
        what = f"{recipe.fusion.name} to {network.width} numbers a row"
        parts.append(_part("fusion", recipe.fusion.name, what, [network.fusion], seen))
    for output_name, output in recipe.outputs.items():
        heads = [network.head(output_name), network.input_heads[f"out_{network.outputs.index(output_name)}"]]
        read = beside.get(output_name, [])
        what = f"{output.head.name} in {output.column}" + (f", reads {', '.join(read)}" if read else "")
        parts.append(_part("output", output_name, what, heads, seen))
    for module, asked in zip(network.objectives, recipe.extra_losses, strict=True):
        parts.append(_part("objective", asked.name, f"weight {asked.weight:g}, in training", [module], seen))
    if network.ensemble is not None:
        for number, further in enumerate(network.ensemble.networks, 2):
            parts.append(_part("member", f"network {number}", "of the same recipe", [further], seen))
        for opinion, member in zip(network.ensemble.opinions, recipe.ensemble.members or [], strict=True):
            what = f"on {', '.join(member.inputs)}, answers {member.output}"
            parts.append(_part("member", member.name, what, [opinion], seen))
    whole = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else 0
    return Summary(name, parts, whole or sum(p.size for p in parts), folder, bundle.report.get("training", {}))


def _part(
    kind: str,
    name: str,
    what: str,
    modules: Iterable[nn.Module],
    seen: set[int],
    trained: str = "",
    milliseconds: float | None = None,
) -> PartSummary:
    tensors: list[Tensor] = []
    for tensor in (tensor for module in modules for tensor in module.state_dict().values()):
        if tensor.numel() and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors.append(tensor)
    numbers = sum(tensor.numel() for tensor in tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return PartSummary(kind, name, what, trained, numbers, size, milliseconds)


def _milliseconds(bundle: Bundle, table: Table) -> dict[str, float]:
    """Input -> milliseconds to read and encode one row, over the first rows of a table, nothing taken from a cache."""
    some = table.select(np.arange(min(len(table), TIMED_ROWS)))
    reading = replace(read_options(bundle.recipe, some), cache=None)
    device, found = device_of(bundle.network), dict[str, float]()
    columns = columns_of(bundle.recipe)
    for name, readers in bundle.recipe.reads.items():
        seconds = []
        for _ in range(2):  # the first time, code and memory are fetched as well
            begun = time.perf_counter()
            for reader in readers:
                cells = prepare(bundle.transforms[f"in:{reader}"], some.frame, columns[f"in:{reader}"], reading)
                with torch.inference_mode():
                    bundle.network.read(reader, gather(cells, np.arange(len(some))).to(device))
            seconds.append(time.perf_counter() - begun)
        found[name] = 1000 * min(seconds) / len(some)
    return found
