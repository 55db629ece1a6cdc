"""A service under load: throughput beside the same model asked directly in batches, delays, and what overload does.

``python benchmarks/deploy_load.py MODEL TABLE [--seconds 60] [--clients 64]``: MODEL is a saved model or an exported
folder, TABLE one that it predicts. Rounds of all arms alternate, so that each meets the same machine:

``direct``    the model in this process, batches of 64, nothing in between: what the machine can do
``service``   ``polyfuse serve``, closed-loop clients that send one row and wait for the answer
``one by one``  a plain FastAPI route that predicts each row by itself, in a thread, as a first version is written
``litserve``  LitServe with its own batching (64 rows or 5 ms), where it is installed
``overload``  the service again, three times as many requests as it answered, sent by the clock whatever comes back
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from polyfuse.serve.models import open_servant

BATCH = 64
ROUNDS = 2

ONE_BY_ONE = """
import base64, sys, threading, uvicorn
from fastapi import FastAPI
from polyfuse.serve.models import open_servant
model, turn, app = open_servant(sys.argv[1], "m"), threading.Lock(), FastAPI()
media = {c for f in model.inputs.values() for c, kind in f.kinds.items() if kind in ("image", "audio")}

@app.post("/v1/predict")
def predict(asked: dict):
    row = {c: base64.b64decode(v) if c in media else v for c, v in asked["row"].items()}
    with turn:
        answers, _ = model.predict([row])
    return {"answers": [{n: {"value": a.value} for n, a in answers[0].items()}]}

@app.get("/ready")
def ready():
    return {}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""

LITSERVE = """
import base64, sys
import litserve as ls
from polyfuse.serve.models import open_servant

class Api(ls.LitAPI):
    def setup(self, device):
        self.model = open_servant(sys.argv[1], "m")
        facts = self.model.inputs.values()
        self.media = {c for f in facts for c, kind in f.kinds.items() if kind in ("image", "audio")}
    def decode_request(self, asked):
        return {c: base64.b64decode(v) if c in self.media else v for c, v in asked["row"].items()}
    def batch(self, rows):
        return list(rows)
    def predict(self, rows):
        return self.model.predict(rows)[0]
    def unbatch(self, answers):
        return answers
    def encode_response(self, answer):
        return {"answers": [{n: {"value": a.value} for n, a in answer.items()}]}

if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0.005, api_path="/v1/predict")
    server = ls.LitServer(api, accelerator="cpu", healthcheck_path="/ready")
    server.run(port=int(sys.argv[2]), generate_client_file=False)
"""


@dataclass
class Load:
    """What clients saw.

    Args:
        seconds: of the round.
        delays: of good answers, in seconds.
        statuses: how often each came; 0 for no answer.
    """

    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return len(self.delays) / self.seconds

    def delay(self, share: float) -> float:
        """Milliseconds within which that share of good answers came."""
        return 1000 * sorted(self.delays)[min(len(self.delays) - 1, int(share * len(self.delays)))]


def rows_of(table: str, servant: Any, most: int = 256) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Rows with the bytes of their files, and the same as bodies of requests."""
    kinds = {c: kind for facts in servant.inputs.values() for c, kind in facts.kinds.items()}
    frame, root = pd.read_csv(table).iloc[:most], Path(table).parent
    records, bodies = [], []
    for row in frame.to_dict("records"):
        record = {c: v for c, v in row.items() if c in kinds and v == v}
        record = {c: (root / v).read_bytes() if kinds[c] in ("image", "audio") else v for c, v in record.items()}
        sent = {c: base64.b64encode(v).decode() if isinstance(v, bytes) else v for c, v in record.items()}
        records.append(record)
        bodies.append(json.dumps({"row": sent}).encode())
    return records, bodies


def direct(servant: Any, records: list[dict[str, Any]], seconds: float) -> Load:
    """Batches one after another, in this process."""
    found, began, at = Load(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        batch = [records[(at + n) % len(records)] for n in range(BATCH)]
        start = time.monotonic()
        servant.predict(batch)
        found.delays += [time.monotonic() - start] * BATCH
        at += BATCH
    found.seconds = time.monotonic() - began
    return found


class Line:
    """A connection that is kept; httpx takes more time for a request than a small model for a row."""

    def __init__(self, port: int):
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, body: bytes, found: Load) -> None:
        """Send a row and wait for what comes."""
        start = time.monotonic()
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            assert self._reader is not None
            head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            self._writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
            told = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await self._reader.readexactly(int(told.partition("content-length:")[2].split("\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            found.statuses[0] += 1
            self.close()
            return
        status = int(told.split()[1])
        found.statuses[status] += 1
        if status == 200:
            found.delays.append(time.monotonic() - start)
        if "connection: close" in told:
            self.close()

    def close(self) -> None:
        """Hang up; the next row opens it again."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def closed(port: int, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """Clients that send the next row when they have the answer to the last."""
    found, began = Load(), time.monotonic()

    async def work(number: int) -> None:
        line, at = Line(port), number
        while time.monotonic() - began < seconds:
            at += clients
            await line.ask(bodies[at % len(bodies)], found)
        line.close()

    await asyncio.gather(*map(work, range(clients)))
    found.seconds = time.monotonic() - began
    return found


async def opened(port: int, bodies: list[bytes], rate: float, seconds: float) -> Load:
    """Requests by the clock, whatever comes back."""
    found, began, running, idle = Load(), time.monotonic(), set[asyncio.Task[None]](), list[Line]()

    async def one(number: int) -> None:
        line = idle.pop() if idle else Line(port)
        await line.ask(bodies[number % len(bodies)], found)
        idle.append(line)

    number = 0
    while (now := time.monotonic() - began) < seconds:
        while number < now * rate:
            task = asyncio.create_task(one(number))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        await asyncio.sleep(0.002)
    found.seconds = time.monotonic() - began
    good = len(found.delays)
    await asyncio.gather(*running)
    del found.delays[good:]  # what came after the clock had stopped is not of these seconds
    for line in idle:
        line.close()
    return found


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[int]:
    """The process of a service that is ready."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{address}/ready", timeout=60).status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"did not start: {' '.join(command[:4])}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def memory_of(pid: int) -> float:
    """Megabytes of a process and its children."""
    pids = [pid]
    with contextlib.suppress(OSError):
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def commands(model: str) -> dict[str, tuple[list[str], int]]:
    """Arm -> its command and port."""
    arms = {"service": ["-c", "from polyfuse.cli import main; main()", "serve", f"m={model}", "--port"]}
    arms["one by one"] = ["-c", ONE_BY_ONE, model]
    if find_spec("litserve"):
        script = Path(os.environ.get("TMPDIR", "/tmp")) / "polyfuse_litserve.py"
        script.write_text(LITSERVE, encoding="utf8")
        arms["litserve"] = [str(script), model]
    ports = {name: free_port() for name in arms}
    return {name: ([sys.executable, *arguments, str(ports[name])], ports[name]) for name, arguments in arms.items()}


def measure(model: str, table: str, seconds: float, clients: int) -> dict[str, Any]:
    """All arms, in rounds; each service runs alone while it is asked."""
    servant = open_servant(model, "m")
    records, bodies = rows_of(table, servant)
    servant.predict(records[:BATCH])
    loads: dict[str, list[Load]] = {}
    memory: list[float] = []
    for _ in range(ROUNDS):
        loads.setdefault("direct", []).append(direct(servant, records, seconds))
        for name, (command, port) in commands(model).items():
            with started(command, port) as pid:
                asyncio.run(closed(port, bodies, clients, min(3.0, seconds)))  # warm
                load = asyncio.run(closed(port, bodies, clients, seconds))
                loads.setdefault(name, []).append(load)
                if name == "service":
                    memory.append(memory_of(pid))
                    again = asyncio.run(opened(port, bodies, 3 * load.rate, seconds))
                    loads.setdefault("overload", []).append(again)
                    memory.append(memory_of(pid))
    whole = statistics.mean(load.rate for load in loads["direct"])
    arms = {}
    for name, own in loads.items():
        merged = Load(sum(one.seconds for one in own), [d for one in own for d in one.delays])
        statuses: Counter[int] = sum((one.statuses for one in own), Counter())
        ratio = merged.rate / (statistics.mean(s.rate for s in loads["service"]) if name == "overload" else whole)
        arms[name] = {"rate": merged.rate, "ratio": ratio, "statuses": dict(statuses)}
        arms[name] |= {"p50_ms": merged.delay(0.5), "p99_ms": merged.delay(0.99)}
    return {"model": model, "clients": clients, "seconds": seconds, "arms": arms, "memory_mb": memory}


def main() -> None:
    """Measure, and print the rows of a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("table")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--to", help="JSON file")
    asked = parser.parse_args()
    found = measure(asked.model, asked.table, asked.seconds, asked.clients)
    print("| arm | rows per s | ratio | p50 ms | p99 ms | statuses |\n|---|---|---|---|---|---|")
    for name, arm in found["arms"].items():
        numbers = " | ".join(f"{arm[key]:.{digits}f}" for key, digits in (("rate", 1), ("ratio", 2), ("p50_ms", 1)))
        print(f"| {name} | {numbers} | {arm['p99_ms']:.1f} | {arm['statuses']} |")
    print("memory of the service after load, after overload, MB:", [round(one) for one in found["memory_mb"]])
    if asked.to:
        Path(asked.to).write_text(json.dumps(found, indent=1), encoding="utf8")


if __name__ == "__main__":
    main()
