"""A service in a thread of this process, its workers being the real thing with a made-up model."""

from __future__ import annotations

import base64
import io
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from polyfuse.serve import protocol
from polyfuse.serve import service as serving
from polyfuse.serve.logs import Log
from polyfuse.serve.settings import Settings
from tests.serve import stub


@dataclass
class Running:
    """A service that answers."""

    service: Any
    server: Any
    address: str
    client: Any
    lines: io.StringIO
    ended: threading.Event

    def post(self, path, **asked):
        """Status and document."""
        answer = self.client.post(path, json=asked)
        return answer.status_code, answer.json()


@contextmanager
def running(folders, *, hosts=serving.LOCAL, environment=None, settings=Settings(), **options):
    """A service that is ready, and ended at the end."""
    lines = io.StringIO()
    options |= {"environment": environment or {}, "settings": settings, "log": Log(lines)}
    service = serving.make_service(folders, **options)
    ended = threading.Event()
    with serving.listening("127.0.0.1", 0) as bound:
        server = serving.make_server(service, hosts)
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"

        def work():
            protocol.run(serving.run(service, server, bound))
            ended.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        with httpx.Client(base_url=address, timeout=60) as client:
            end = time.monotonic() + 120
            while client.get("/ready").status_code != 200:
                assert time.monotonic() < end, lines.getvalue()
                time.sleep(0.02)
            yield Running(service, server, address, client, lines, ended)
        server.should_exit = True
        thread.join(30)
        assert ended.is_set()


@pytest.fixture(scope="package")
def patch():
    with pytest.MonkeyPatch.context() as monkeypatch:
        stub.use(monkeypatch)
        yield monkeypatch


@pytest.fixture(scope="package")
def place(tmp_path_factory, patch):
    return stub.folder(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="package")
def served(place):
    """The service that most tests ask; not to be stopped."""
    with running([place]) as found:
        yield found


def png(value=200, side=8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def torn() -> bytes:
    """A picture whose end did not arrive."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()[:120]


def wav(seconds=0.1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(int(8000 * seconds)), 8000, format="WAV")
    return file.getvalue()


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()
