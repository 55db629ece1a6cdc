"""How much memory a model takes that answers: measured in a process of its own, which this file is as well.

``python -m polyfuse.compress.footprint MODEL BATCH [TRUSTED ...]`` prints bytes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from polyfuse.model import bundle as bundles
from polyfuse.records import Batch, Cells
from polyfuse.trust import names, trusting

TIMES = 2  # answers, the second of which finds everything in its place


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


def peak_memory(folder: Path, batch: Path) -> int:
    """Bytes that a fresh process holds at most, from its start on, which loads a model and answers a batch.

    Raises:
        RuntimeError: that process failed; says why.
    """
    command = [sys.executable, "-m", __name__, str(folder), str(batch), *names()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().rpartition("\n")[2] or f"exit status {ended.returncode}")
    return int(ended.stdout.split()[-1])


def _most() -> int:
    """Bytes that this process has held at most; of what it was before it became itself, nothing."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def main(arguments: Sequence[str]) -> None:
    """Load, answer, and print bytes."""
    folder, batch, *trust = arguments
    with trusting(trust):
        network = bundles.load(folder, "cpu").network
    rows = read_batch(Path(batch))
    with torch.inference_mode():
        for _ in range(TIMES):
            network.predict(rows)
    print(_most())


if __name__ == "__main__":
    main(sys.argv[1:])
