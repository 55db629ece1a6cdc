"""Overload, clients that leave, deadlines, workers that die, and the end of a service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from polyfuse.serve import service as serving
from polyfuse.serve.fetching import Fetcher
from polyfuse.serve.problems import Problem
from polyfuse.serve.settings import Settings
from polyfuse.serve.tokens import read_tokens
from tests.serve import stub
from tests.serve.conftest import coded, png, running


def counted(found, name):
    lines = [line for line in found.client.get("/metrics").text.splitlines() if line.startswith(f"polyfuse_{name}")]
    return sum(float(line.split()[-1]) for line in lines if "_created" not in line)


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_killed_worker_fails_who_waits_flips_ready_and_comes_back(place):
    with running([place]) as found:
        (desk,) = found.service.desks.values()
        with ThreadPoolExecutor(4) as pool:
            computed = [pool.submit(found.post, "/v1/predict", row={"words": "sleep 30"})]
            until(lambda: found.service.memory.held)
            time.sleep(0.3)
            waiting = pool.submit(found.post, "/v1/predict", row={"area": 1})
            until(lambda: len(desk.queue))
            os.kill(desk.pids[0], signal.SIGKILL)
            began = time.monotonic()
            assert [one.result(timeout=20)[0] for one in computed] == [503]
            assert time.monotonic() - began < 3
            assert waiting.result(timeout=20)[0] == 200, "what only waited is computed by the next worker"
        assert found.client.get("/ready").status_code == 200
        assert counted(found, "worker_restarts_total") == 1
        assert found.post("/v1/predict", row={"words": "crash"})[0] == 503
        until(lambda: found.client.get("/ready").status_code == 200)


def test_ready_is_false_while_there_is_no_worker(place, patch):
    from polyfuse.serve import desk as desks

    with running([place]) as found:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(desks, "PAUSES", (2.0,))
            (desk,) = found.service.desks.values()
            os.kill(desk.pids[0], signal.SIGKILL)
            until(lambda: found.client.get("/ready").status_code == 503, 2)
            status, document = found.post("/v1/predict", row={"area": 1})
            assert status == 503
            assert "being started" in document["error"]["message"]
            assert found.client.get("/live").status_code == 200
        until(lambda: found.client.get("/ready").status_code == 200)


def test_a_stalled_worker_is_ended(place):
    with running([place], settings=Settings(stall=0.5)) as found:
        status, document = found.post("/v1/predict", row={"words": "sleep 20"})
        assert status == 503
        assert "too long" in document["error"]["message"]
        until(lambda: found.client.get("/ready").status_code == 200)


def test_overload_is_refused_with_when_to_come_again(place):
    with running([place], settings=Settings(queue=8, batch=4)) as found:
        with ThreadPoolExecutor(30) as pool:
            rows = [{"words": "sleep 0.1"}] * 4
            answers = list(pool.map(lambda _: found.client.post("/v1/predict", json={"rows": rows}), range(30)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert statuses.count(200) >= 3
        assert found.post("/v1/predict", row={"area": 1})[0] == 200
        (desk,) = found.service.desks.values()
        with ThreadPoolExecutor(8) as pool:
            slow = [{"words": "sleep 0.7"}] * 4
            busy = [pool.submit(found.post, "/v1/predict", rows=slow)]
            time.sleep(0.5)  # they are computed, and wait no more
            busy += [pool.submit(found.post, "/v1/predict", rows=slow) for _ in range(2)]
            until(lambda: desk.full)
            early = found.client.post("/v1/predict", content=b"{", headers={"Content-Type": "application/json"})
            assert early.status_code == 429, "a full service does not even read"
            assert found.client.get("/ready").status_code == 200
            assert {one.result()[0] for one in busy} == {200}
        too_many = found.client.post("/v1/predict", json={"rows": [{"area": 1}] * 9})
        assert too_many.status_code == 429


def test_memory_of_bodies_is_bounded(place):
    with running([place], settings=Settings(max_bytes=10_000, memory=25_000, deadline=1.5)) as found:
        body = json.dumps({"row": {"words": "x" * 9000}}).encode()
        head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        lines = []
        for _ in range(2):  # who sends slowly holds what it announced
            line = socket.create_connection(("127.0.0.1", int(found.address.rpartition(":")[2])))
            line.sendall(head.encode() + body[:100])
            lines.append(line)
        until(lambda: found.service.memory.held > 17_000)
        answer = found.client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 429
        assert lines[0].recv(100).startswith(b"HTTP/1.1 408")
        until(lambda: found.service.memory.held == 0)
        for line in lines:
            line.close()


def test_deadlines_and_clients_that_leave(place):
    with running([place]) as found:
        busy = threading.Thread(target=found.post, args=("/v1/predict",), kwargs={"row": {"words": "sleep 1.5"}})
        busy.start()
        time.sleep(0.3)
        began = time.monotonic()
        late = found.client.post("/v1/predict", json={"row": {"area": 1}}, headers={"X-Timeout": "0.2"})
        assert late.status_code == 504
        assert time.monotonic() - began < 1
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{found.address}/v1/predict", json={"row": {"area": 2}}, timeout=0.2)
        busy.join()
        assert found.post("/v1/predict", row={"area": 1})[0] == 200
        assert counted(found, "rows_total") == 2, "rows of those who left were computed"
        assert counted(found, "dropped_rows_total") == 2


def test_a_text_that_nobody_reads_is_no_longer_written(place):
    with running([place]) as found:
        (desk,) = found.service.desks.values()
        with found.client.stream("POST", "/v1/generate", json={"row": {"words": "word " * 1000}}) as answer:
            lines = answer.iter_lines()  # held: who drops it hangs up
            next(lines)
            assert desk._writing == 1
            assert found.post("/v1/predict", row={"area": 1})[0] == 200  # others are answered meanwhile
        until(lambda: desk._writing == 0, 10)
        assert found.post("/v1/generate", row={"words": "a b"}, stream=False)[1]["text"] == "a b"


def test_a_shutdown_finishes_what_is_in_flight(place):
    with running([place]) as found:
        (desk,) = found.service.desks.values()
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(found.post, "/v1/predict", row={"words": "sleep 1"})
            time.sleep(0.3)
            pid = desk.pids[0]
            found.server.should_exit = True
            assert asked.result(timeout=20)[0] == 200
        assert found.ended.wait(20)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_command_line_serves_until_it_is_told_to_end(place, tmp_path):
    code = f"from polyfuse.serve import process; process.CODE = {stub.MAIN!r}; from polyfuse.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(place)]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    address = json.loads(process.stderr.readline())["address"]
    until(lambda: httpx.get(f"{address}ready", timeout=20).status_code == 200)
    again = subprocess.run([*command, "--port", address.rstrip("/").rpartition(":")[2]], capture_output=True, text=True)
    assert again.returncode == 2
    assert "name another one with --port" in again.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert '"stopped"' in process.stderr.read()


def test_what_cannot_be_served_says_so(tmp_path, place):
    (tmp_path / "empty").mkdir()
    for folders, message in (
        ([tmp_path / "none"], "no such folder"),
        ([tmp_path / "empty"], "is no model"),
        ([place, place], "two models are called 'stub'"),
        ([], "no model to serve"),
    ):
        with pytest.raises(ValueError, match=message):
            serving.make_service(folders, environment={})
    for options in ({"examples": [tmp_path / "x.csv"]}, {"token_file": tmp_path / "x"}):
        with pytest.raises(ValueError, match="No such file"):
            serving.make_service([place], environment={}, **options)
    with pytest.raises(ValueError, match="above 0"):
        Settings(queue=0)


def test_a_model_that_cannot_be_loaded_ends_the_service(tmp_path):
    stub.folder(tmp_path, "broken")  # no recipe that could be read
    with pytest.MonkeyPatch.context() as monkeypatch:
        code = "import polyfuse.serve.worker as w; w.open_servant = lambda **_: 1 / 0; w.main()"
        monkeypatch.setattr("polyfuse.serve.process.CODE", f"import sys; sys.path[:0] = {sys.path!r}; {code}")
        with pytest.raises(ValueError, match="model 'broken': division by zero"):
            serving.run_service([tmp_path / "broken"], port=0)


def test_token_files(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("# mine\n0123456789abcdef\n\n", encoding="utf8")
    file.chmod(0o600)
    tokens, notes = read_tokens(file, {})
    assert notes == []
    assert tokens.allow("bearer 0123456789abcdef")
    assert not tokens.allow("Bearer 0123456789abcdeF")
    assert not tokens.allow(None)
    file.chmod(0o644)
    assert "can be read by every user" in read_tokens(file, {})[1][0]
    file.write_text("# nothing\n", encoding="utf8")
    with pytest.raises(ValueError, match="holds no token"):
        read_tokens(file, {})
    assert read_tokens(None, {})[0].allow(None)
    assert "easily guessed" in read_tokens(None, {"POLYFUSE_TOKENS": "a"})[1][0]


@pytest.fixture
def host():
    """A host of files on this machine."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "http://localhost:1/secret")
                self.end_headers()
                return
            if self.path == "/round":
                self.send_response(302)
                self.send_header("Location", "/round")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(200 if self.path == "/large" else 1):
                    self.wfile.write(png() if self.path == "/a.png" else b"x" * 1000)
                    time.sleep(5 if self.path == "/slow" else 0)
            except OSError:
                return

        def log_message(self, *_):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_only_allowed_addresses_are_fetched(host, place):
    fetch = Fetcher([f"127.0.0.1:{host}", f"localhost:{host}"], 50_000, 2.0)
    assert fetch(f"http://127.0.0.1:{host}/a.png", "row.photo") == png()
    for address, message in (
        ("http://127.0.0.1:1/a.png", "not fetched"),
        ("http://example.org/a.png", "not fetched"),
        (f"http://localhost:{host}/a.png", "private address"),
        (f"http://user@127.0.0.1:{host}/a.png", "without a user"),
        (f"file://127.0.0.1:{host}/etc/passwd", "http or https"),
        (f"http://127.0.0.1:{host}/away", "not fetched"),
        (f"http://127.0.0.1:{host}/round", "more than 3 redirects"),
        (f"http://127.0.0.1:{host}/large", "more than 50,000 bytes"),
        ("http://[::1/", "no address"),
        (f"https://127.0.0.1:{host}/a.png", "cannot be read"),
    ):
        with pytest.raises(Problem, match=message) as refused:
            fetch(address, "row.photo")
        assert 400 <= refused.value.status < 500
    with pytest.raises(ValueError, match="expected HOST"):
        Fetcher(["http://a/b"], 1, 1)
    with running([place], settings=Settings(urls=(f"127.0.0.1:{host}",))) as found:
        cell = {"url": f"http://127.0.0.1:{host}/a.png"}
        assert found.post("/v1/predict", row={"photo": cell})[0] == 200
        assert found.post("/v1/predict", row={"photo": coded(png())})[0] == 200
