"""Search beside numpy, torch, faiss and LanceDB: speed, what is found, time to build, disk and memory.

``python benchmarks/search.py`` writes ``benchmarks/search.json`` and ``benchmarks/search.md``; with ``--rows 20000`` it
measures that many and prints. All contenders are asked in turn, again and again, and medians are told; the memory's
bandwidth and the processor's arithmetic are measured in the same turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, Results, machine

from polyfuse.search import approximate
from polyfuse.search.matrices import MatrixFolder
from polyfuse.search.scan import Scan

SIZES = ((100_000, 256), (1_000_000, 128))
K, BATCH, TURNS, SINGLE = 10, 256, 7, 16  # rows asked for; queries together; turns; queries alone per turn
SHARES = (1.0, 0.1, 0.01, 0.001)  # of rows that a filter keeps
CLUSTERS, LATENT, NOISE = 1000, 24, 0.3
LANCE_BATCH = 16  # queries of LanceDB per turn, which answers one after the other


def vectors(rows: int, size: int, seed: int) -> np.ndarray:
    """Unit vectors as encoders give them: around centres, with fewer directions than numbers."""
    world, rng = np.random.default_rng(0), np.random.default_rng(seed)
    centres, spread = world.normal(size=(CLUSTERS, LATENT)), world.normal(size=(LATENT, size)) / LATENT**0.5
    x = np.empty((rows, size), np.float32)
    for start in range(0, rows, 2**16):
        part = x[start : start + 2**16]
        latent = centres[rng.integers(0, CLUSTERS, len(part))] + 0.5 * rng.normal(size=(len(part), LATENT))
        part[:] = latent @ spread + NOISE * rng.normal(size=part.shape)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return x


@dataclass
class Contender:
    """Something that finds rows.

    Args:
        top: queries (Q, E), k and kept rows (N,) or None -> row numbers (Q, k).
        seconds, disk, memory: to build it; bytes that it left there, and took of memory that is no mapped file.
        together: queries that are asked at once in a turn.
    """

    top: Callable[[np.ndarray, int, np.ndarray | None], np.ndarray]
    filters: bool = False
    seconds: float = 0.0
    disk: int = 0
    memory: int = 0
    together: int = BATCH
    times: dict[str, list[float]] = field(default_factory=dict)


def anonymous_bytes() -> int:
    """Bytes of this process that are no mapped file; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf8").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def contenders(x: np.ndarray, folder: Path) -> Iterator[tuple[str, Contender]]:
    """Name and contender, built one after the other."""
    makers: dict[str, Callable[[np.ndarray, Path], Contender]] = {"polyfuse": exact}
    if find_spec("faiss"):
        makers["polyfuse, approximate"] = quick
    makers |= {"numpy": by_numpy, "torch": by_torch}
    if find_spec("faiss"):
        makers |= {"faiss Flat": faiss_flat, "faiss IVF": faiss_ivf, "faiss HNSW": faiss_hnsw}
    makers |= {"LanceDB, flat": lance_flat, "LanceDB, IVF_PQ": lance_index}
    for name, make in makers.items():
        place = folder / name.replace(" ", "").replace(",", "-")
        place.mkdir(exist_ok=True)
        before, began = anonymous_bytes(), time.perf_counter()
        made = make(x, place)
        made.seconds = time.perf_counter() - began
        made.top(x[:1], K, None)
        made.memory = max(0, anonymous_bytes() - before)
        made.disk = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        print(f"built {name} in {made.seconds:.1f} s", flush=True)
        yield name, made


def _scan(x: np.ndarray, place: Path) -> Scan:
    def fetch(ids: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for start in range(0, len(ids), 2**14):
            yield ids[start : start + 2**14], {"x": x[start : start + 2**14]}

    found = MatrixFolder(place, ["x"], x.shape[1]).holding(np.arange(len(x)), fetch)
    return Scan(found.full["x"], found.half["x"])


def exact(x: np.ndarray, place: Path) -> Contender:
    """Ours: half precision mapped into memory, single precision for the second look."""
    scan = _scan(x, place)
    return Contender(lambda q, k, keep: scan.top(q, k, keep)[0], filters=True)


def quick(x: np.ndarray, place: Path) -> Contender:
    """Ours by IVF, which a scan replaces where a filter keeps few rows."""
    scan = _scan(x, place)
    facts = approximate.build(place / "0.faiss", scan, [x[:: max(1, len(x) // 1000)]])
    print(f"  {facts}", flush=True)
    opened = approximate.open_index(place / "0.faiss")
    assert opened is not None
    index = opened.over(scan)

    def top(query_QE: np.ndarray, k: int, keep_N: np.ndarray | None) -> np.ndarray:
        rows = []
        for query_E in query_QE:
            near = index.top(query_E, k, keep_N)
            rows.append(scan.top(query_E[None], k, keep_N)[0][0] if near is None else near[0])
        return np.stack(rows)

    return Contender(top, filters=True)


def by_numpy(x: np.ndarray, place: Path) -> Contender:  # noqa: ARG001
    """A product and a partial sort."""

    def top(query_QE: np.ndarray, k: int, keep_N: np.ndarray | None) -> np.ndarray:
        score_QN = query_QE @ x.T
        if keep_N is not None:
            score_QN[:, ~keep_N] = -2
        near_QK = np.argpartition(-score_QN, min(k, len(x) - 1), axis=1)[:, :k]
        order_QK = np.argsort(-np.take_along_axis(score_QN, near_QK, 1), axis=1)
        return np.take_along_axis(near_QK, order_QK, 1)

    return Contender(top, filters=True)


def by_torch(x: np.ndarray, place: Path) -> Contender:  # noqa: ARG001
    """A product and ``topk``."""
    x_NE = torch.from_numpy(x)

    def top(query_QE: np.ndarray, k: int, keep_N: np.ndarray | None) -> np.ndarray:
        score_QN = torch.from_numpy(query_QE) @ x_NE.T
        if keep_N is not None:
            score_QN[:, ~torch.from_numpy(keep_N)] = -2
        return score_QN.topk(k, 1).indices.numpy()

    return Contender(top, filters=True)


def _faiss(index: Any, x: np.ndarray, place: Path) -> Contender:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    if not index.is_trained:
        index.train(x)
    index.add(x)
    faiss.write_index(index, str(place / "index"))
    return Contender(lambda q, k, _: index.search(q, k)[1])


def faiss_flat(x: np.ndarray, place: Path) -> Contender:
    """All rows in single precision."""
    import faiss

    return _faiss(faiss.IndexFlatIP(x.shape[1]), x, place)


def faiss_ivf(x: np.ndarray, place: Path) -> Contender:
    """As many cells as ours, 16 of them looked at."""
    import faiss

    cells = int(max(1, min(4 * len(x) ** 0.5, len(x) / approximate.PER_CENTRE)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(x.shape[1]), x.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe, index.cp.niter, index.cp.max_points_per_centroid = 16, 10, approximate.PER_CENTRE
    return _faiss(index, x, place)


def faiss_hnsw(x: np.ndarray, place: Path) -> Contender:
    """Malkov and Yashunin, PAMI 2020: 32 neighbours, 64 looked at."""
    import faiss

    index = faiss.IndexHNSWFlat(x.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
    return _faiss(index, x, place)


def _lance(x: np.ndarray, place: Path, indexed: bool) -> Contender:
    import lancedb
    import pyarrow as pa

    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    table = lancedb.connect(str(place)).create_table("rows", pa.table({"id": np.arange(len(x)), "vector": flat}))
    if indexed:
        table.create_index(metric="dot")

    def one(query_E: np.ndarray, k: int, where: str | None) -> np.ndarray:
        asked = table.search(query_E).distance_type("dot").select(["id"]).limit(k)
        asked = asked.nprobes(20).refine_factor(10) if indexed else asked
        return (asked.where(where, prefilter=True) if where else asked).to_arrow()["id"].to_numpy()

    def top(query_QE: np.ndarray, k: int, keep_N: np.ndarray | None) -> np.ndarray:
        where = None if keep_N is None else f"id IN ({', '.join(map(str, np.flatnonzero(keep_N)))})"
        return np.stack([np.pad(row := one(q, k, where), (0, k - len(row)), constant_values=-1) for q in query_QE])

    return Contender(top, together=LANCE_BATCH)


def lance_flat(x: np.ndarray, place: Path) -> Contender:
    """LanceDB without an index."""
    return _lance(x, place, indexed=False)


def lance_index(x: np.ndarray, place: Path) -> Contender:
    """LanceDB's own default index, with a second look at ten times as many rows."""
    return _lance(x, place, indexed=True)


def bandwidth(block: torch.Tensor) -> float:
    """Bytes per second at which memory is read: a sum of far more numbers than caches hold."""
    began = time.perf_counter()
    block.sum()
    return block.numel() * block.element_size() / (time.perf_counter() - began)


def arithmetic(square: torch.Tensor) -> float:
    """Operations per second of a product of large matrices in single precision."""
    began = time.perf_counter()
    square @ square
    return 2 * len(square) ** 3 / (time.perf_counter() - began)


def conversion(half: torch.Tensor, wide: torch.Tensor) -> float:
    """Bytes of half precision per second that are converted to single in the cache, which a scan has to do."""
    began = time.perf_counter()
    for start in range(0, len(half), len(wide)):
        wide.copy_(half[start : start + len(wide)])
    return half.numel() * 2 / (time.perf_counter() - began)


def recall(found: np.ndarray, exact_QK: np.ndarray) -> float:
    """Share of the exact answers that were found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, exact_QK, strict=True))
    return hits / max(1, exact_QK.size)


def measured(rows: int, size: int, turns: int = TURNS) -> dict[str, Any]:
    """Everything about one size."""
    x, query_QE = vectors(rows, size, 1), vectors(BATCH, size, 2)
    with tempfile.TemporaryDirectory() as folder:
        built = dict(contenders(x, Path(folder)))
        block, square = torch.ones(max(2**24, rows * size // 2)), torch.randn(2048, 2048)
        half, wide = torch.ones(2**25, dtype=torch.half), torch.empty(2**19)
        limits: dict[str, list[float]] = {"bandwidth": [], "arithmetic": [], "conversion": []}
        bandwidth(block), arithmetic(square)
        for turn in range(turns):
            limits["bandwidth"].append(bandwidth(block))
            limits["arithmetic"].append(arithmetic(square))
            limits["conversion"].append(conversion(half, wide))
            for made in built.values():
                _turn(made, query_QE, turn)
        truth_QK = _exact(x, query_QE, None)
        found = {name: _row(made, query_QE, truth_QK) for name, made in built.items()}
        filters = _filters(built, x, query_QE, turns)
    limit = {name: statistics.median(values) for name, values in limits.items()}
    ours = found["polyfuse"]
    shares = {
        "single, share of bandwidth": ours["single"] * rows * size * 2 / limit["bandwidth"],
        "batch, share of arithmetic": ours["batch"] * rows * size * 2 / limit["arithmetic"],
    }
    kept = {"rows": rows, "size": size, "threads": torch.get_num_threads(), "machine": machine()}
    return {**kept, "limits": limit, "shares": shares, "contenders": found, "filters": filters}


def _exact(x: np.ndarray, query_QE: np.ndarray, keep_N: np.ndarray | None) -> np.ndarray:
    rows_R = np.arange(len(x)) if keep_N is None else np.flatnonzero(keep_N)
    found = []
    for query_E in query_QE:
        score_R = x[rows_R] @ query_E if keep_N is not None else x @ query_E
        found.append(rows_R[np.argsort(-score_R, kind="stable")[:K]])
    return np.stack(found)


def _turn(made: Contender, query_QE: np.ndarray, turn: int) -> None:
    chosen = [(turn * SINGLE + n) % len(query_QE) for n in range(SINGLE)]
    began = time.perf_counter()
    for at in chosen:
        made.top(query_QE[at : at + 1], K, None)
    made.times.setdefault("single", []).append((time.perf_counter() - began) / SINGLE)
    began = time.perf_counter()
    made.top(query_QE[: made.together], K, None)
    made.times.setdefault("batch", []).append((time.perf_counter() - began) / made.together)


def _row(made: Contender, query_QE: np.ndarray, truth_QK: np.ndarray) -> dict[str, float]:
    speed = {name: 1 / statistics.median(times) for name, times in made.times.items()}
    share = recall(made.top(query_QE, K, None), truth_QK)
    return {**speed, "recall": share, "seconds": made.seconds, "disk": made.disk, "memory": made.memory}


def _filters(built: dict[str, Contender], x: np.ndarray, query_QE: np.ndarray, turns: int) -> list[dict[str, Any]]:
    """Per share of kept rows: queries per second one by one, and recall, of those that take filters."""
    rng, found = np.random.default_rng(3), []
    asked_QE = query_QE[: 4 * SINGLE]
    for share in SHARES:
        keep_N = np.ones(len(x), bool) if share == 1 else rng.random(len(x)) < share
        truth_QK = _exact(x, asked_QE, keep_N)
        row: dict[str, Any] = {"share": share}
        able = {name: made for name, made in built.items() if made.filters}
        times: dict[str, list[float]] = {name: [] for name in able}
        for turn in range(turns):
            for name, made in able.items():
                began = time.perf_counter()
                made.top(asked_QE[turn : turn + 1], K, keep_N)
                times[name].append(time.perf_counter() - began)
        for name, made in able.items():
            near_QK = np.concatenate([made.top(query_E[None], K, keep_N) for query_E in asked_QE])
            row[name] = {"single": 1 / statistics.median(times[name]), "recall": recall(near_QK, truth_QK)}
        found.append(row)
    return found


def page(found: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    text = ["# Search", "", "`python benchmarks/search.py`; contenders in turn, medians. Rows are unit vectors around"]
    text += [f"{CLUSTERS:,} centres; recall@{K} against all scores in single precision.", ""]
    for one in found:
        limit, share = one["limits"], one["shares"]
        text += [f"## {one['rows']:,} x {one['size']}", "", f"{one['machine']}, {one['threads']} threads.", ""]
        text += ["| | queries/s alone | queries/s in a batch | recall@10 | build s | disk MB | memory MB |"]
        text += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for name, row in one["contenders"].items():
            cells = [f"{row['single']:,.1f}", f"{row['batch']:,.1f}", f"{row['recall']:.4f}", f"{row['seconds']:,.1f}"]
            text.append(
                "| " + " | ".join([name, *cells, f"{row['disk'] / 1e6:,.0f}", f"{row['memory'] / 1e6:,.0f}"]) + " |"
            )
        text += ["", f"Memory is read at {limit['bandwidth'] / 1e9:.1f} GB/s, large products make "]
        text[-1] += f"{limit['arithmetic'] / 1e9:.0f} GFLOP/s. The exact scan reads its half-precision rows at "
        text[-1] += f"{share['single, share of bandwidth']:.0%} of the one for a query alone, and reaches "
        text[-1] += f"{share['batch, share of arithmetic']:.0%} of the other for {BATCH} together."
        text[-1] += " Turning half into single precision in the cache, which comes before every product here, runs at "
        text[-1] += f"{limit['conversion'] / 1e9:.1f} GB/s of half precision by itself."
        names = [name for name in one["filters"][0] if name != "share"]
        text += ["", "| rows kept | " + " | ".join(f"{name}: queries/s, recall@10" for name in names) + " |"]
        text += ["| --- |" + " ---: |" * len(names)]
        for row in one["filters"]:
            cells = [f"{row[name]['single']:,.1f}, {row[name]['recall']:.4f}" for name in names]
            text.append(f"| {row['share']:.1%} | " + " | ".join(cells) + " |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--turns", type=int, default=TURNS)
    asked = parser.parse_args()
    if asked.rows:
        found = measured(asked.rows, asked.size, asked.turns)
        print(json.dumps(found, indent=1))
        print(page([found]))
        return
    results = Results("search")
    whole = [results.get(f"{rows} x {size}", lambda r=rows, s=size: measured(r, s)) for rows, size in SIZES]
    (ROOT / "benchmarks" / "search.md").write_text(page(whole) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
