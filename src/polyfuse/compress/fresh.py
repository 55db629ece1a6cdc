"""A process of its own that says how much memory it held at most; needs no torch.

``python -m polyfuse.compress.fresh FOLDER ROWS.json ROOT [TRUSTED ...]`` answers rows from an exported folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from polyfuse.runtime import load
from polyfuse.trust import names

TIMES = 2  # answers, the second of which finds everything in its place


def peak_memory(module: str, *arguments: object) -> int:
    """Bytes that a fresh process holds at most, from its start on, which loads a model and answers some rows.

    Args:
        module: that does so, and prints bytes.
        arguments: of it, the model and these rows.

    Raises:
        RuntimeError: that process failed; says why.
    """
    command = [sys.executable, "-m", module, *map(str, arguments), *names()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().rpartition("\n")[2] or f"exit status {ended.returncode}")
    return int(ended.stdout.split()[-1])


def most_held() -> int:
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
    folder, file, root, *trust = arguments
    model, rows = load(folder, media_root=root or None, trust=trust), json.loads(Path(file).read_text(encoding="utf8"))
    for _ in range(TIMES):
        model.predict(rows)
    print(most_held())


if __name__ == "__main__":
    main(sys.argv[1:])
