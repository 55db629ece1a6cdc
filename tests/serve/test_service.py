"""What the service answers, what it refuses and how it says so."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from polyfuse.serve import service as serving
from polyfuse.serve import shapes
from polyfuse.serve.app import make_app
from polyfuse.serve.logs import Log
from polyfuse.serve.settings import Settings
from tests.serve.conftest import coded, png, running, torn, wav

ROW = {"photo": coded(png()), "sound": {"base64": coded(wav())}, "words": "a red house", "area": 2, "kind": "x"}


def test_a_row_is_answered_with_what_its_outputs_say(served):
    status, found = served.post("/v1/predict", row=ROW)
    assert status == 200
    shapes.PredictGiven.model_validate(found)
    (answer,) = found["answers"]
    assert answer["label"]["value"] == "a"
    assert sum(answer["label"]["probabilities"].values()) == pytest.approx(1)
    assert answer["price"] == {"value": 20.0}
    assert found["warnings"] == []


def test_rows_keep_their_order_and_inputs_can_be_hidden(served):
    rows = [{"area": n, "photo": "data:image/png;base64," + coded(png(n))} for n in range(40)]
    found = served.post("/v1/predict", rows=rows)[1]
    assert [row["price"]["value"] for row in found["answers"]] == [10.0 * n for n in range(40)]
    hidden = served.post("/v1/predict", rows=rows[:2], without=["photo"])[1]
    assert [row["label"]["probabilities"]["a"] for row in hidden["answers"]] == [0.5, 0.5]


def test_values_that_training_never_saw_are_named(served):
    found = served.post("/v1/predict", rows=[{"kind": "x"}, {"kind": "z"}])[1]
    assert found["warnings"] == ["rows[1].kind: training saw no such value; it is read as an unknown one"]


def test_forms_bring_one_row_or_the_files_of_many(served):
    one = served.client.post("/v1/predict", files={"photo": ("a.png", png())}, data={"words": "x", "area": "2.5"})
    assert one.json()["answers"][0]["price"]["value"] == 25
    asked = json.dumps({"rows": [{"photo": {"file": "left"}}, {"photo": {"file": "right"}, "area": 1}]})
    files = {"left": png(255), "right": png(0), "request": (None, asked)}
    many = served.client.post("/v1/predict", files=files).json()
    assert [row["label"]["value"] for row in many["answers"]] == ["a", "b"]


def test_embeddings_have_the_shape_of_openai(served):
    status, found = served.post("/v1/embeddings", input=["house", "garden"], model="stub")
    assert status == 200
    shapes.EmbedGiven.model_validate(found)
    assert [one["embedding"][0] for one in found["data"]] == [5, 6]
    packed = served.post("/v1/embeddings", input="house", encoding_format="base64", user="me")[1]["data"][0]
    assert np.frombuffer(base64.b64decode(packed["embedding"]), "<f4").tolist() == [5, 1]
    assert served.post("/v1/embeddings", input=[coded(png())], modality="image")[0] == 200
    assert served.post("/v1/embeddings", input=[ROW, {"words": "x"}])[0] == 200
    assert served.post("/v1/embeddings", input="x", dimensions=7)[0] == 422


def test_texts_come_piece_by_piece(served):
    with served.client.stream("POST", "/v1/generate", json={"row": {"words": "one two three"}}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert events[-1] == "[DONE]"
    documents = [json.loads(event) for event in events[:-1]]
    assert [d["piece"] for d in documents[:-1]] == ["one", " two", " three"]
    assert documents[-1]["text"] == "one two three"
    whole = served.post("/v1/generate", row={"words": "one two"}, stream=False, output="caption")[1]
    assert whole == {"model": "stub", "output": "caption", "text": "one two"}


def test_contributions_add_up_to_the_answer(served):
    status, found = served.post("/v1/explain", row={"photo": ROW["photo"], "words": "x"})
    assert status == 200
    shapes.ExplainGiven.model_validate(found)
    label = found["explanations"][0]["label"]
    assert label["target"] == "a"
    assert label["contributions"]["photo"] == pytest.approx(0.3, abs=1e-6)
    assert label["contributions"]["sound"] == 0
    assert sum(label["contributions"].values()) == pytest.approx(label["score"] - label["base"], abs=1e-6)
    assert list(served.post("/v1/explain", row={"words": "x"}, output="price")[1]["explanations"][0]) == ["price"]


def test_models_say_what_they_read(served):
    (model,) = served.client.get("/v1/models").json()["data"]
    assert model["id"] == "stub"
    assert model["ready"] is True
    kinds = {c["name"]: c["kind"] for one in model["inputs"] for c in one["columns"]}
    assert kinds["area"] == "number"
    assert [one["writes"] for one in model["outputs"]] == [False, False, True]


def test_state_and_metrics(served):
    assert served.client.get("/live").json() == {"status": "live"}
    assert served.client.get("/ready").json()["models"] == {"stub": "ready"}
    page = served.client.get("/metrics").text
    for name in ("requests_total", "request_seconds_bucket", "queue_rows", "batch_rows_bucket", "rejects", "ready"):
        assert f"polyfuse_{name}" in page


def test_ready_makes_a_real_forward_pass(served):
    (desk,) = served.service.desks.values()
    desk._forward = before = -1e9
    assert served.client.get("/ready").status_code == 200
    assert desk._forward > before


def test_the_pages_are_whole_and_may_load_nothing_else(served):
    for path in ("/", "/page.js", "/page.css", "/report.css", "/docs", "/docs.js"):
        answer = served.client.get(path + "?file=/etc/passwd")
        assert answer.status_code == 200
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert b"root:" not in answer.content
        text = answer.text.replace('"http://www.w3.org/2000/svg"', "")  # a name, which nobody loads
        assert "http://" not in text
        assert "https://" not in text
        assert " style=" not in text
        assert " onclick=" not in text
    assert {"/v1/predict", "/v1/generate"} <= set(served.client.get("/openapi.json").json()["paths"])


def test_one_bad_row_is_named_and_does_not_fail_its_neighbours(served):
    from concurrent.futures import ThreadPoolExecutor

    def ask(n):
        bad = n % 5 == 0
        return bad, served.post(
            "/v1/predict", rows=[{"area": 1}, {"photo": coded(torn() if bad else png()), "area": n}]
        )

    with ThreadPoolExecutor(8) as pool:
        for bad, (status, found) in pool.map(ask, range(40)):
            assert status == (422 if bad else 200)
            if bad:
                assert found["error"]["param"] == "rows[1].photo"


def test_a_failure_of_the_model_says_nothing_of_the_row(served):
    status, found = served.post("/v1/predict", row={"words": "fail"})
    assert status == 500
    assert "secret" not in json.dumps(found)
    assert served.post("/v1/predict", row={"words": "refuse"})[1]["error"]["message"] == "row: this row is not wanted"


def test_logs_hold_no_content(served):
    served.post("/v1/predict", row={"words": "my secret words", "area": 7})
    served.client.get("/secret-path?secret=1")
    served.service.log.flush()
    lines = [json.loads(line) for line in served.lines.getvalue().splitlines()]
    assert {"request", "listening", "worker_up"} & {line["event"] for line in lines}
    assert "secret" not in served.lines.getvalue()


def test_nothing_is_reported_whatever_the_environment_says(place, monkeypatch):
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    app = make_app(serving.make_service([place], environment={}, log=Log(quiet=True)))
    reporting = getattr(app, "_native_telemetry", None)  # of newer versions of FastAPI
    assert reporting is None or not reporting.enabled()


def test_other_hosts_are_refused(served):
    assert served.client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 403
    assert served.client.post("/v1/predict", json={}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert served.client.get("/live", headers={"Host": "localhost:1"}).status_code == 200


def test_tokens_are_asked_for_and_several_models_have_names(place, tmp_path):
    table = tmp_path / "rows.csv"
    (tmp_path / "a.png").write_bytes(png())
    table.write_text("photo,area,label\na.png,3,a\n,4,b\n", encoding="utf8")
    options = {"environment": {"POLYFUSE_TOKENS": "0123456789abcdef, fedcba9876543210"}, "hosts": None}
    with running([f"one={place}", f"two={place}"], examples=[f"two={table}"], **options) as found:
        for header in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic fedcba9876543210"}):
            answer = found.client.get("/v1/models", headers=header)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert found.client.get("/metrics", headers=header).status_code == 401
        assert found.client.get("/").status_code == 200
        found.client.headers["Authorization"] = "Bearer fedcba9876543210"
        assert [model["id"] for model in found.client.get("/v1/models").json()["data"]] == ["one", "two"]
        assert found.post("/v1/predict", row={"area": 1})[1]["error"]["param"] == "model"
        assert found.post("/v1/predict", row={"area": 1}, model="three")[0] == 404
        assert found.post("/v1/predict", row={"area": 1}, model="two")[0] == 200
        rows = found.client.get("/v1/examples?model=two").json()["rows"]
        assert rows == [{"photo": {"base64": coded(png())}, "area": "3"}, {"area": "4"}]
        assert found.client.get("/v1/examples?model=one").json()["rows"] == []


def test_a_body_without_a_length_is_counted_as_it_comes(place):
    with running([place], settings=Settings(max_bytes=10_000, memory=20_000)) as found:

        def parts(count):
            yield b'{"row": {"words": "'
            for _ in range(count):
                yield b"x" * 1000
            yield b'"}}'

        headers = {"Content-Type": "application/json"}
        assert found.client.post("/v1/predict", content=parts(5), headers=headers).status_code == 200
        assert found.client.post("/v1/predict", content=parts(30), headers=headers).status_code == 413
        assert found.client.post("/v1/predict", json={"row": {"words": "x" * 20_000}}).status_code == 413
        assert found.service.memory.held == 0
