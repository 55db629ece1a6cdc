"""The page's server over HTTP: what it answers, what it refuses and how it says so. The page itself: test_page."""

from __future__ import annotations

import base64
import http.client
import json
import threading

import pandas as pd
import pytest

from polyfuse.search import serve
from tests.search.conftest import needs_store

pytestmark = needs_store


@pytest.fixture(scope="module")
def server(index):
    with serve.Server(index, 0) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def call(server, path, body=None, *, method=None, **headers):
    """Status, headers and content."""
    port = server.server_address[1]
    line = http.client.HTTPConnection(serve.HOST, port, timeout=60)
    if body is not None and not isinstance(body, (bytes, str)):
        body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    line.request(method or ("GET" if body is None else "POST"), path, body, headers)
    answer = line.getresponse()
    content = answer.read()
    line.close()
    return answer.status, answer.headers, content


def asked(server, **question):
    status, _, content = call(server, "/api/search", question)
    return status, json.loads(content)


def test_the_page_is_whole_and_may_load_nothing_else(server):
    for path in ("/", "/page.js", "/page.css", "/report.css"):
        status, headers, content = call(server, path)
        assert status == 200
        assert content
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert b"http://" not in content
        assert b"https://" not in content
        assert b" style=" not in content
        assert b" onclick=" not in content


def test_it_says_what_the_index_holds(server, index):
    facts = json.loads(call(server, "/api/index")[2])
    assert facts["rows"] == 60
    assert facts["inputs"] == index.inputs
    assert {"row", "area", "split"} <= set(facts["columns"])


def test_every_part_of_a_question_counts(server, index, world):
    _, table, folder = world
    frame = pd.read_csv(table)
    found = asked(server, parts=[{"input": "words", "text": "bright loud morning"}], find=["photo"], k=5)[1]
    exact = index.search("bright loud morning", find="photo", k=5)
    assert [row["id"] for row in found["rows"]] == exact.id.astype(str).tolist()
    assert found["of"] == 60
    row = found["rows"][0]
    assert row["known"]["row"] == str(exact.row[0])
    kinds = {media["input"]: media["kind"] for media in row["media"]}
    assert kinds["photo"].startswith("image/")
    status, headers, content = call(server, f"/media/{row['id']}/photo")
    assert status == 200
    assert headers["Content-Type"] == kinds["photo"]
    assert content == index.thumbnails([int(row["id"])])[int(row["id"])]["photo"]
    sound = next(row for row in found["rows"] if len(row["media"]) == 2)
    assert call(server, f"/media/{sound['id']}/sound")[1]["Content-Type"].startswith("audio/")
    files = [folder / frame.photo[4], folder / frame.sound[4]]
    parts = [
        {"input": name, "data": base64.b64encode(file.read_bytes()).decode(), "weight": weight}
        for name, file, weight in zip(("photo", "sound"), files, (1, 0.5), strict=True)
    ]
    both = asked(server, parts=parts, where="area > 2", k=4)[1]
    same = index.search(image=files[0], audio=files[1], weights={"sound": 0.5}, where="area > 2", k=4)
    assert [row["id"] for row in both["rows"]] == same.id.astype(str).tolist()
    like = asked(server, like=row["id"], k=3)[1]["rows"]
    assert [one["id"] for one in like] == index.search(id=int(row["id"]), k=3).id.astype(str).tolist()


WORDS = [{"input": "words", "text": "x"}]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, "nothing is asked"),
        ({"parts": WORDS, "where": "yaer > 3"}, "no column 'yaer'"),
        ({"parts": WORDS, "where": "photo.to_csv('x')"}, "not allowed"),
        ({"parts": WORDS, "k": 0}, "at least 1"),
        ({"parts": WORDS, "k": "many"}, "k: found 'many'"),
        ({"parts": WORDS, "find": ["video"]}, "found video"),
        ({"parts": "x"}, "parts: found 'x'"),
        ({"parts": ["x"]}, "expected objects"),
        ({"parts": [{"input": "area", "text": "3"}]}, "does not align 'area'"),
        ({"parts": [{"input": "photo", "data": "%%"}]}, "did not arrive whole"),
        ({"parts": [{"input": "photo", "data": base64.b64encode(b"no picture").decode()}]}, "cannot be read"),
        ({"parts": [{"input": "photo", "text": "/etc/passwd"}]}, "as a file"),
        ({"parts": [{"input": "words", "text": "x", "weight": "2"}]}, "weight: found '2'"),
        ({"parts": [{"input": "words", "text": "x"}, {"input": "words", "text": "y"}]}, "asked with twice"),
        ({"like": "17"}, "no row with id 17"),
        ({"like": "../x"}, "is no id"),
    ],
)
def test_what_cannot_be_answered_says_why(server, question, message):
    status, found = asked(server, **question)
    assert status == 400
    assert message in found["error"]


def test_what_is_no_question_is_refused(server):
    assert call(server, "/api/search", "{", Content_Type="application/json")[0] == 400
    assert call(server, "/api/search", "[" * 100_000, Content_Type="application/json")[0] == 400
    assert call(server, "/api/search", "[]", Content_Type="application/json")[0] == 400
    assert call(server, "/api/search", "{}", Content_Type="text/plain")[0] == 415
    assert call(server, "/elsewhere", {})[0] == 404
    for path in ("/elsewhere", "/../index.json", "/media/", "/media/x/photo", "/media/1/photo", f"/media/{'9' * 30}/a"):
        status, _, content = call(server, path)
        assert status == 404
        assert json.loads(content)["error"]
    assert call(server, "/", method="DELETE")[0] == 501


def test_a_question_that_is_too_large_is_not_read(server):
    status, _, content = call(server, "/api/search", b"", Content_Length=str(serve.MOST_BYTES + 1))
    assert status == 413
    assert "32 MiB" in json.loads(content)["error"]
    assert call(server, "/api/search", b"", Content_Length="-5")[0] == 411


def test_other_hosts_are_refused(server):
    assert call(server, "/api/index", Host="evil.example")[0] == 403
    assert call(server, "/api/search", {"parts": WORDS}, Origin="http://evil.example")[0] == 403
    port = server.server_address[1]
    assert call(server, "/api/index", Origin=f"http://localhost:{port}", Host=f"localhost:{port}")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


def test_questions_at_once_are_all_answered(server):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: asked(server, parts=WORDS, k=3)[1]["rows"], range(16)))
    assert all(rows == found[0] for rows in found)


def test_a_port_that_is_taken_says_so(server, index):
    with pytest.raises(OSError, match="name another one with --port"):
        serve.Server(index, server.server_address[1])
