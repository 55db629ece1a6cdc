"""Adds, deletes, compacts and searches without end, and says what is on disk; killed by ``test_kills``."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from polyfuse.search.folder import IndexFolder

SIZE = 8


def rows(rng: np.random.Generator, count: int):
    x_RE = rng.normal(size=(count, SIZE)).astype(np.float32)
    return {"image": (x_RE, np.ones(count, bool))}, pd.DataFrame(
        {"row": np.arange(count), "n": rng.integers(0, 99, count)}
    )


def main() -> None:
    shelf, rng = IndexFolder.open(sys.argv[1]), np.random.default_rng(int(sys.argv[2]))
    held: list[int] = []
    print("ready", flush=True)
    while True:
        ids = shelf.add(*rows(rng, int(rng.integers(1, 40))), {}).tolist()
        print("added", *ids, flush=True)
        held += ids
        if len(held) > 50 and rng.random() < 0.5:
            gone = rng.choice(held, 10, replace=False).tolist()
            print("deleting", *gone, flush=True)
            shelf.delete(ids=gone)
            print("deleted", *gone, flush=True)
            held = [one for one in held if one not in set(gone)]
        if rng.random() < 0.1:
            shelf.compact()
        if rng.random() < 0.3:  # which writes what is derived
            shelf.search(np.ones(SIZE, np.float32), find=["image"])


if __name__ == "__main__":
    main()
