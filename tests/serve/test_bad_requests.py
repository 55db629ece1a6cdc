"""What is malformed, hostile or too large gets an answer of its own below 500, within a second, and harms nobody."""

from __future__ import annotations

import json
import time

import pytest

from tests.serve import malformed
from tests.serve.conftest import coded, png

SECONDS = 3.0  # one alone takes milliseconds; the machine of a test may be busy


def sent(served, asked):
    asked = dict(asked)
    path, method = asked.pop("path"), asked.pop("method", "POST")
    if "json" in asked:  # as some client may write it, halves of characters included
        content = json.dumps(asked.pop("json")).encode()
        asked |= {"content": content, "headers": malformed.JSON}
    return served.client.request(method, path, **asked)


def check(served, count, seed):
    slow = []
    for n, asked in enumerate(malformed.requests(count, seed)):
        began = time.monotonic()
        answer = sent(served, asked)
        slow.append(time.monotonic() - began)
        about = f"{n} ({n % len(malformed.families())}): {str(asked)[:300]} -> {answer.status_code} {answer.text[:300]}"
        assert 400 <= answer.status_code < 500, about
        assert answer.json()["error"]["message"], about
        assert slow[-1] < SECONDS, about
    (desk,) = served.service.desks.values()
    assert served.post("/v1/predict", row={"photo": coded(png()), "area": 1})[0] == 200
    assert served.service.memory.held == 0
    assert len(desk.queue) == 0
    return sorted(slow)


def test_a_hundred_malformed_requests(served):
    before = served.service.desks["stub"].pids
    check(served, 2 * len(malformed.families()), 0)
    assert served.service.desks["stub"].pids == before, "a worker died"


@pytest.mark.slow
def test_a_thousand_malformed_requests(served):
    assert check(served, 1000, 1)[990] < 1


@pytest.mark.parametrize(
    ("asked", "status", "field", "message"),
    [
        (
            {"photo": coded(malformed.png_of(50_000, 50_000))},
            413,
            "row.photo",
            "50,000 x 50,000 pixels, over",
        ),
        ({"sound": coded(malformed.hours(10))}, 413, "row.sound", "36,000 seconds, over the limit of 600"),
        ({"words": "x" * 20_001}, 413, "row.words", "20,001 characters, over the limit"),
        ({"photo": "/etc/passwd"}, 422, "row.photo", "paths and addresses are not opened"),
        ({"photo": {"url": "http://a/b"}}, 422, "row.photo", "addresses are not fetched here"),
        ({"foto": "x"}, 422, "row.foto", "did you mean 'photo'?"),
        ({"area": "many"}, 422, "row.area", "expected a finite number"),
        ({"vector": [1, 2, 3]}, 422, "row.vector", "expected 2 numbers"),
        ({}, 422, "row", "nothing in it"),
    ],
)
def test_what_is_wrong_is_named_with_its_field(served, asked, status, field, message):
    found, document = served.post("/v1/predict", row=asked)
    assert found == status
    assert document["error"]["param"] == field
    assert message in document["error"]["message"]


@pytest.mark.slow
def test_schemathesis_finds_no_server_error(served):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case):
            case.call_and_validate(base_url=served.address, checks=[not_a_server_error])

        ask()
    assert served.post("/v1/predict", row={"area": 1})[0] == 200
