"""Peak anonymous memory of one epoch over 50,000 rows of distinct 128x128 JPEGs, read from files.

Prints one JSON object. Anonymous memory is what the process allocates; pages of mapped files do not count.
"""

from __future__ import annotations

import io
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import polyfuse

ROWS = 50_000


def make_files(folder: Path) -> pd.DataFrame:
    """Distinct pictures: a coarse random pattern each, whose brightest quarter is the label."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(ROWS):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        label = int(coarse.mean(-1).reshape(2, 2, 2, 2).mean((1, 3)).argmax())
        file = io.BytesIO()
        Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
        name = f"{number}.jpg"
        (folder / name).write_bytes(file.getvalue())
        rows.append((name, label))
    return pd.DataFrame(rows, columns=["photo", "quarter"])


def anonymous_bytes() -> int:
    """This process's resident anonymous memory now."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) * 1024


class Peak(threading.Thread):
    """Looks at anonymous memory ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0

    def run(self) -> None:
        while True:
            self.bytes = max(self.bytes, anonymous_bytes())
            time.sleep(0.1)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder)).to_csv(Path(folder) / "table.csv", index=False)
        peak = Peak()
        peak.start()
        started = time.monotonic()
        model = polyfuse.fit(
            Path(folder) / "table.csv",
            outputs=["quarter=category"],
            inputs=["photo"],
            settings=["training.epochs=1"],
            to=Path(folder) / "model",
            quiet=True,
        )
        accuracy = model.report["evaluation"]["outputs"]["quarter"]["accuracy"]
        seconds = time.monotonic() - started
    print(json.dumps({"peak_gb": peak.bytes / 1e9, "seconds": seconds, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
