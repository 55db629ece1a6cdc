"""Steps per second of polyfuse's training against a bare PyTorch loop on the same modules with batches in memory.

``python benchmarks/throughput.py fsdd|easy_vqa|houses`` prints the ratio (1 means as fast), the median of interleaved
runs in this process. Both take the same rows in a batch: rows that share a picture stand together.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import DATA

from polyfuse.data.batches import Order, Rows, loader, most_shared_cell
from polyfuse.data.tables import Table, read_table
from polyfuse.model.bundle import count_slots
from polyfuse.model.network import Network, build
from polyfuse.recipe import Recipe, parse
from polyfuse.recipe.resolve import resolve
from polyfuse.training.fit import prepare_for_training
from polyfuse.training.schedule import factor, parameter_groups
from polyfuse.training.train import Split, train

STEPS = 60
REPEATS = 5


@dataclass
class Work:
    """One model and its rows, ready to train again and again."""

    recipe: Recipe
    rows: Rows
    numbers: np.ndarray
    facts: dict
    slots: dict

    def network(self) -> Network:
        torch.manual_seed(0)
        return build(self.recipe, self.facts, self.slots)


def prepared(table: Table, **fields) -> Work:
    settings = {"steps": STEPS, "select": "last", "calibrate": False}
    recipe, splits, _ = resolve(parse({**fields, "training": settings}), table)
    found = prepare_for_training(recipe, table, splits)
    rows = found.rows
    facts = {name: transform.facts() for name, transform in found.transforms.items()}
    return Work(recipe, rows, splits.train, facts, count_slots(recipe, found.transforms))


def ours(work: Work) -> float:
    """Seconds of STEPS steps with Lightning: batches made as needed, augmentation, checkpoints, event files."""
    network = work.network()
    with tempfile.TemporaryDirectory() as run:
        split = Split(work.numbers, work.numbers[:0])
        return train(network, work.recipe, work.rows, split, run=Path(run), quiet=True).seconds


def bare(work: Work, batches: list) -> float:
    """Seconds of the same steps in a loop, batches ready in memory."""
    network = work.network().train()
    optimizer = torch.optim.AdamW(parameter_groups(network, work.recipe), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, STEPS, 0.2))
    started = time.monotonic()
    for step in range(STEPS):
        batch = batches[step % len(batches)]
        loss = torch.stack(list(network.losses(network(batch), batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return time.monotonic() - started


def ratio(work: Work) -> float:
    share = most_shared_cell(work.rows.inputs, work.numbers)
    order = Order(work.numbers, work.recipe.training.batch_size, shuffle=True, share=share)
    plain = Rows(work.rows.inputs, work.rows.outputs, work.rows.count)
    batches = list(loader(plain, order))[:STEPS]
    bare(work, batches), ours(work)
    pairs = [(bare(work, batches), ours(work)) for _ in range(REPEATS)]
    return statistics.median(bare_s / our_s for bare_s, our_s in pairs)


def fsdd() -> Work:
    data = {"split": "split", "columns": ["audio"]}
    return prepared(read_table(DATA / "fsdd/table.csv"), data=data, outputs={"digit": {"column": "digit"}})


def easy_vqa() -> Work:
    rows = pd.read_csv(DATA / "easy_vqa/train.csv").iloc[:8000]
    return prepared(read_table(rows, media_root=DATA / "easy_vqa"), outputs={"answer": {"column": "answer"}})


def houses() -> Work:
    table = read_table(DATA / "houses/table.csv")
    return prepared(table, data={"split": "split"}, outputs={"price": {"column": "price"}})


WORKS = {work.__name__: work for work in (fsdd, easy_vqa, houses)}

if __name__ == "__main__":
    print(json.dumps(round(ratio(WORKS[sys.argv[1]]()), 3)))
