"""Seconds to write texts: our ``transformer`` with its cache and without, and Hugging Face ``generate`` at equal sizes.

Width, depth, heads, feed-forward width, vocabulary and tokens read are the same, weights are random, every text has
all its units. The three take turns within one run on one thread, and the median of some turns counts, in seconds of the
processor, of which others on the machine take less than of those on the wall. Writes ``generation_speed.json`` and
``generation_speed.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import transformers
from common import ROOT, NotMeasured, Results, machine, write_rows
from transformers.modeling_outputs import BaseModelOutput

from polyfuse.heads.text.decode import Cache, Decoding, Rules, generate
from polyfuse.heads.text.transformer import Transformer
from polyfuse.records import Tokens

WIDTH, DEPTH, HEADS, VOCABULARY, READ = 256, 4, 8, 8000, 49  # of a 7 x 7 grid of a picture
BATCHES, LENGTHS, BEAMS = (1, 16, 64), (20, 60), (1, 4)
TURNS, UNCACHED = 3, 16  # rows times beams up to which writing without a cache is measured, once: it takes minutes
PAGE = "# Speed of writing\n\n`python benchmarks/generation_speed.py` measures it again.\n"


class Uncached:
    """The same decoder, which reads the whole text again for every unit."""

    def __init__(self, decoder: Transformer):
        self.decoder = decoder

    def begin(self, memory: Tokens) -> Cache:
        """The memory, and no unit yet."""
        ids = torch.zeros(len(memory.x_BTD), 0, dtype=torch.long)
        return {"context_x": memory.x_BTD, "context_mask": memory.mask_BT, "ids": ids}

    def step(self, ids_N: torch.Tensor, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """One further unit."""
        ids_NT = torch.cat([cache["ids"], ids_N[:, None]], 1)
        times = len(ids_N) // len(cache["context_x"])
        x, mask = (cache[name].repeat_interleave(times, 0) for name in ("context_x", "context_mask"))
        return self.decoder(Tokens(x, mask), ids_NT)[0][:, -1], {**cache, "ids": ids_NT}


def theirs() -> Any:
    """An encoder-decoder of Hugging Face, of whose encoder nothing is used."""
    config = transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=1, decoder_layers=DEPTH, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=4 * WIDTH, decoder_ffn_dim=4 * WIDTH,
        max_position_embeddings=128,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config).eval()


def writers(batch: int, length: int, beams: int) -> dict[str, Callable[[], Any]]:
    """Name -> what writes texts of so many units."""
    torch.manual_seed(0)
    own, other = Transformer(VOCABULARY, WIDTH, 0.1, depth=DEPTH, heads=HEADS).eval(), theirs()
    x_BSD, mask_BS = torch.randn(batch, READ, WIDTH), torch.ones(batch, READ, dtype=torch.bool)
    memory, how = Tokens(x_BSD, mask_BS), Decoding(beams=beams)
    rules = Rules(begin=1, end=2, banned=(0, 1, 3), most=length, least=length)
    options = {"max_new_tokens": length, "min_new_tokens": length, "num_beams": beams, "do_sample": False}
    return {
        "cache": lambda: generate(own, memory, rules, how),
        "no cache": lambda: generate(Uncached(own), memory, rules, how),  # type: ignore[arg-type]
        "generate": lambda: other.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=x_BSD), attention_mask=mask_BS.long(), **options
        ),
    }


def measured(batch: int, length: int, beams: int, turns: int) -> dict[str, float]:
    """Median seconds of each, and how many times as long ``generate`` takes as we do, turn by turn."""
    made, times = writers(batch, length, beams), []
    for turn in range(turns + 1):  # the first one warms up
        names = [name for name in made if name != "no cache" or (turn == 1 and batch * beams <= UNCACHED)]
        times += [{name: seconds(made[name]) for name in names}]
    found = {name: statistics.median(t[name] for t in times[1:] if name in t) for name in times[1]}
    ratios = sorted(t["generate"] / t["cache"] for t in times[1:])
    return {**found, "times": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]}


def seconds(run: Callable[[], Any]) -> float:
    """Of the processor."""
    started = time.process_time()
    with torch.inference_mode():
        run()
    return time.process_time() - started


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--kept", action="store_true", help="measure nothing, and write the page of what there is")
    parser.add_argument("--turns", type=int, default=TURNS)
    given = parser.parse_args()
    results = Results("generation_speed", fresh=given.fresh, kept=given.kept)
    results.get("machine", lambda: f"{machine()}, transformers {transformers.__version__}, one thread")
    torch.set_num_threads(1)
    lines = [
        "| units | rows | beams | cache | no cache | `generate` | `generate` / cache (least to most) |",
        "|---|---|---|---|---|---|---|",
    ]
    for length, batch, beams in product(LENGTHS, BATCHES, BEAMS):
        key = f"beams {beams}, rows {batch}, units {length}"
        try:
            row = results.get(key, lambda b=batch, n=length, k=beams: measured(b, n, k, given.turns))
        except NotMeasured:
            lines.append(f"| {length} | {batch} | {beams} | not measured | | | |")
            continue
        shown = [f"{row[name]:.3f} s" if name in row else "" for name in ("cache", "no cache", "generate")]
        times = f"{row['times']:.2f} ({row['least']:.2f} to {row['most']:.2f})"
        lines.append(f"| {length} | {batch} | {beams} | {' | '.join(shown)} | {times} |")
    said = (
        f"Width {WIDTH}, {DEPTH} blocks, {HEADS} heads, {VOCABULARY:,} units, {READ} tokens read; random weights, seed "
        f"0; texts of exactly so many units; the three in turn, median of {TURNS} turns (without a cache: "
        f"once), seconds of the processor; "
        f"BART's decoder as `transformers` builds it.\n{results.values['machine']}."
    )
    write_rows(ROOT / "benchmarks" / "generation_speed.md", f"{said}\n\n" + "\n".join(lines), PAGE)
    print(json.dumps(results.values, indent=1))


if __name__ == "__main__":
    main()
