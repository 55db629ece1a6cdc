"""How much memory a model takes that answers: measured in a process of its own, which this file is as well.

``python -m polyfuse.compress.footprint MODEL BATCH [TRUSTED ...]`` prints bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from polyfuse.compress.fresh import TIMES, most_held
from polyfuse.model import bundle as bundles
from polyfuse.records import Batch, Cells
from polyfuse.trust import trust_packages


def save_batch(batch: Batch, path: Path) -> None:
    """Write the cells of a batch to a file."""
    from safetensors.torch import save_file

    found = dict[str, torch.Tensor]()
    for side, cells_by_name in (("inputs", batch.inputs), ("own", batch.own)):
        for name, cells in cells_by_name.items():
            assert isinstance(cells.fields, dict)
            found |= {f"{side}/{field}/{name}": tensor.contiguous() for field, tensor in cells.fields.items()}
            found[f"{side}//{name}"] = cells.index_BK.contiguous()
    save_file(found, path)


def read_batch(path: Path) -> Batch:
    """The batch that was written."""
    from safetensors.torch import load_file

    sides: dict[str, dict[str, dict[str, torch.Tensor]]] = {"inputs": {}, "own": {}}
    for key, tensor in load_file(path).items():
        side, field, name = key.split("/", 2)
        sides[side].setdefault(name, {})[field] = tensor
    cells = {
        side: {name: Cells({f: t for f, t in own.items() if f}, own[""]) for name, own in by_name.items()}
        for side, by_name in sides.items()
    }
    rows = len(next(iter(cells["inputs"].values())).index_BK)
    return Batch(cells["inputs"], {}, torch.arange(rows), torch.ones(rows), own=cells["own"])


def main(arguments: Sequence[str]) -> None:
    """Load, answer, and print bytes."""
    folder, batch, *trust = arguments
    with trust_packages(trust):
        network = bundles.load(folder, "cpu").network
    rows = read_batch(Path(batch))
    with torch.inference_mode():
        for _ in range(TIMES):
            network.predict(rows)
    print(most_held())


if __name__ == "__main__":
    main(sys.argv[1:])
