"""The routes of the service: what each takes, asks of a model, and gives."""

from __future__ import annotations

import asyncio
import base64
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, StreamingResponse

from polyfuse.data.cells.literals import modality_from_bytes
from polyfuse.explain.contribution import Contribution
from polyfuse.runtime.servant import Answer
from polyfuse.serve import shapes
from polyfuse.serve.bodies import FORM, JSON, Holding, Memory, read_body
from polyfuse.serve.desk import Desk
from polyfuse.serve.examples import shown
from polyfuse.serve.fetching import Fetcher
from polyfuse.serve.guard import Guard, encoded
from polyfuse.serve.intake import Row, check_count
from polyfuse.serve.logs import Log
from polyfuse.serve.metrics import Metrics
from polyfuse.serve.problems import Problem, unreadable
from polyfuse.serve.queueing import Task
from polyfuse.serve.settings import Settings
from polyfuse.serve.tokens import Tokens
from polyfuse.version import __version__

HERE = Path(__file__).parent
FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
    "/report.css": ("../evaluation/report.css", "text/css"),
}
TIMEOUT = "X-Timeout"  # header: seconds in which a client wants its answer
PROBING = 5.0  # seconds for which /ready waits for a forward pass
EXPLAINED = 8  # rows of one explanation, each of which asks the model many times
LOCAL = ("127.0.0.1", "localhost", "::1")

Awaited = TypeVar("Awaited")
Found = tuple[Any, Desk, list[Row], list[str]]
"""What was asked, of which model, its rows, and how messages call each."""


class Service:
    """Models and what they share.

    Args:
        models: name -> folder.
        settings: limits.
        tokens: who may ask.
        examples: name -> rows of a table and the folder that its paths start from.
        log: where lines go.
    """

    def __init__(
        self,
        models: Mapping[str, Path],
        settings: Settings,
        tokens: Tokens,
        examples: Mapping[str, tuple[list[dict[str, Any]], Path]],
        log: Log,
    ):
        self.settings, self.tokens, self.examples, self.log = settings, tokens, examples, log
        self.metrics, self.memory = Metrics(), Memory(settings.memory)
        self.metrics.held.set_function(lambda: self.memory.held)
        fetch = Fetcher(settings.urls, settings.max_bytes, settings.deadline / 2) if settings.urls else None
        self.desks = {n: Desk(n, f, settings, self.metrics, log, fetch) for n, f in models.items()}

    def full(self) -> int | None:
        """Seconds after which there may be room again, where no model has room for a row; else None."""
        waits = [desk.queue.wait() for desk in self.desks.values() if desk.full]
        return min(waits) if len(waits) == len(self.desks) else None

    def desk(self, name: str | None) -> Desk:
        """The model of that name, or the only one.

        Raises:
            Problem: no such model, or several and none named.
        """
        known = ", ".join(map(repr, self.desks))
        if name is None and len(self.desks) > 1:
            raise unreadable("model", f"expected one of {known}")
        desk = next(iter(self.desks.values())) if name is None else self.desks.get(name)
        if desk is None:
            raise Problem(404, f"no model {str(name)[:40]!r}; there are {known}", "model")
        return desk

    def ends(self, request: Request) -> float:
        """Until when an answer is worth something, by the monotonic clock.

        Raises:
            Problem: the header is no number of seconds.
        """
        asked, most = request.headers.get(TIMEOUT), self.settings.deadline
        try:
            seconds = most if asked is None else float(asked)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise unreadable(TIMEOUT, "expected a number of seconds above 0")
        return float(request.state.began) + min(seconds, most)


def make_app(service: Service, hosts: Sequence[str] | None = None) -> FastAPI:
    """The application, for any ASGI server that runs its lifespan.

    Args:
        hosts: names that it answers to; None for any.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for desk in service.desks.values():
            desk.open()
        writing = asyncio.create_task(_flushed(service.log))
        yield
        writing.cancel()
        for desk in service.desks.values():
            await desk.close()

    about = "Predictions, embeddings, texts and explanations of models that read text, images, sound and numbers."
    options: dict[str, Any] = {"docs_url": None, "redoc_url": None, "lifespan": lifespan, "openapi_url": None}
    if "telemetry" in inspect.signature(FastAPI).parameters:  # newer versions report to whom the environment names
        options["telemetry"] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(title="polyfuse", version=__version__, description=about, **options)
    _add_pages(app)
    _add_state(app, service)
    _add_models(app, service)
    routes = {route.path for route in app.routes}  # type: ignore[attr-defined]
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(HTTPException, _told)
    app.add_middleware(
        Guard,  # type: ignore[arg-type]
        tokens=service.tokens,
        routes=routes,
        hosts=hosts,
        metrics=service.metrics,
        log=service.log,
        full=service.full,
    )
    return app


async def _flushed(log: Log) -> None:
    """Write what the log puts off, several times a second."""
    while True:
        await asyncio.sleep(0.2)
        log.flush()


async def _told(_: Request, error: Exception) -> Response:
    problem = error
    if isinstance(error, HTTPException):
        problem = Problem(error.status_code, str(error.detail))
    assert isinstance(problem, Problem)
    return _json(problem.body, problem.status, problem.headers)


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encoded(document), status, headers, JSON)


def _add_pages(app: FastAPI) -> None:
    for path, (file, kind) in FILES.items():
        app.add_api_route(path, _page(HERE / file, f"{kind}; charset=utf-8"), include_in_schema=False)

    def openapi() -> Response:
        return _json(app.openapi())

    app.add_api_route("/openapi.json", openapi, include_in_schema=False)


def _page(file: Path, kind: str) -> Callable[[], Response]:
    def page() -> Response:  # what it took would be a parameter of the route
        return FileResponse(file, media_type=kind)

    return page


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/live", tags=["state"])
    async def live() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "live"}

    @app.get("/ready", tags=["state"], responses={503: {"description": "Some model does not answer."}})
    async def ready(response: Response) -> dict[str, Any]:
        """Whether every model answers: each has made a forward pass within seconds, or makes one now."""
        found = await asyncio.gather(*(desk.ready(PROBING) for desk in service.desks.values()))
        models = {name: "ready" if good else "not ready" for name, good in zip(service.desks, found, strict=True)}
        response.status_code = 200 if all(found) else 503
        return {"status": "ready" if all(found) else "not ready", "models": models}

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """The models, what they read and what they say."""
        return {"object": "list", "data": [_facts(desk) for desk in service.desks.values()]}

    @app.get("/v1/examples", tags=["models"], responses=_errors(404, 422))
    async def examples(model: str | None = None) -> Response:
        """Rows to try a model with, where whoever runs the service gave some."""
        desk = service.desk(model)
        rows, root = service.examples.get(desk.name, ([], HERE))
        kinds = desk.check().kinds
        try:
            return _json({"model": desk.name, "rows": await asyncio.to_thread(shown, rows, kinds, root)})
        except ValueError as error:
            raise Problem(404, str(error)) from None


def _facts(desk: Desk) -> dict[str, Any]:
    """A model as clients see it."""
    inputs = [
        {
            "name": facts.name,
            "modality": facts.modality,
            "columns": [
                {"name": c, "kind": facts.kinds.get(c, "text"), "choices": list(facts.choices.get(c, ()))}
                for c in facts.columns
            ],
        }
        for facts in desk.inputs.values()
    ]
    outputs = [
        {"name": f.name, "head": f.head, "labels": list(map(_value, f.labels)), "writes": f.writes, "reads": f.reads}
        for f in desk.outputs.values()
    ]
    known = {"id": desk.name, "object": "model", "created": 0, "owned_by": "polyfuse"}
    return {**known, "ready": desk.up, "inputs": inputs, "outputs": outputs}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": shapes.ErrorGiven} for status in statuses}


REFUSALS = _errors(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)


def _takes(shape: type[shapes.BaseModel], form: bool = True) -> dict[str, Any]:
    """The body of a route, for the page of the API: it is read by hand, within limits."""
    content: dict[str, Any] = {JSON: {"schema": shape.model_json_schema()}}
    if form:
        parts = {"request": {"type": "string", "description": "The JSON, whose cells name parts by file."}}
        rest = {"type": "string", "format": "binary", "description": "Or, without request, a cell of one row."}
        content[FORM] = {"schema": {"type": "object", "properties": parts, "additionalProperties": rest}}
    header = {"name": TIMEOUT, "in": "header", "schema": {"type": "number"}, "description": "Seconds to wait at most."}
    return {"requestBody": {"required": True, "content": content}, "parameters": [header]}


def _add_models(app: FastAPI, service: Service) -> None:
    async def rows_of(request: Request, shape: type[shapes.Asked], holding: Holding) -> Found:
        body = await read_body(request, service.settings, holding, service.ends(request))
        asked: Any = shapes.checked(shape, body.asked)
        desk = service.desk(asked.model if not body.form else request.query_params.get("model"))
        intake = desk.check()
        given, single = asked.row, True
        if isinstance(asked, shapes.Rows):
            if (asked.row is None) == (asked.rows is None):
                raise unreadable("rows", "expected one row as row, or several as rows")
            given, single = (asked.row, True) if asked.rows is None else (asked.rows, False)
        many = [given] if single else given
        check_count(many, service.settings)
        fields = ["row"] if single else [f"rows[{n}]" for n in range(len(many))]
        heavy = holding.bytes > 2**16 or service.settings.urls
        read = [(intake.row, row, field, body.files) for row, field in zip(many, fields, strict=True)]
        rows = await asyncio.to_thread(_each, read) if heavy else _each(read)
        return asked, desk, rows, fields

    @app.post(
        "/v1/predict", tags=["models"], response_model=shapes.PredictGiven, responses=REFUSALS,
        openapi_extra=_takes(shapes.PredictAsked),
    )  # fmt: skip
    async def predict(request: Request) -> Response:
        """Answers to one row or several; all of them, or an error that names the field that cannot be read."""
        with service.memory.holding() as holding:
            asked, desk, rows, fields = await rows_of(request, shapes.PredictAsked, holding)
            for name in asked.without:
                if name not in desk.inputs:
                    raise unreadable("without", f"no input {name[:40]!r}; there are {', '.join(desk.inputs)}")
            if not desk.outputs:
                raise unreadable("model", "it has no outputs to predict; ask for embeddings")
            task = Task("predict", frozenset(asked.without))
            found = await _unless_gone(request, desk.ask(task, rows, service.ends(request), fields))
        answers = [{name: _answer(answer) for name, answer in row.items()} for row in found]
        return _json({"model": desk.name, "answers": answers, "warnings": _notes(rows)})

    @app.post(
        "/v1/explain", tags=["models"], response_model=shapes.ExplainGiven, responses=REFUSALS,
        openapi_extra=_takes(shapes.ExplainAsked),
    )  # fmt: skip
    async def explain(request: Request) -> Response:
        """How much each input did for the answer: Shapley values over the inputs that a row has."""
        with service.memory.holding() as holding:
            asked, desk, rows, fields = await rows_of(request, shapes.ExplainAsked, holding)
            if len(rows) > EXPLAINED:
                raise Problem(413, f"rows: {len(rows)} rows, over the limit of {EXPLAINED} for explanations", "rows")
            if asked.output is not None and asked.output not in desk.outputs:
                raise unreadable("output", f"no output {asked.output[:40]!r}; there are {', '.join(desk.outputs)}")
            task = Task("explain", asked.output)
            found = await _unless_gone(request, desk.ask(task, rows, service.ends(request), fields))
        explained = [{name: _explained(said) for name, said in row.items()} for row in found]
        return _json({"model": desk.name, "explanations": explained, "warnings": _notes(rows)})

    @app.post(
        "/v1/embeddings", tags=["models"], response_model=shapes.EmbedGiven, responses=REFUSALS,
        openapi_extra=_takes(shapes.EmbedAsked, form=False),
    )  # fmt: skip
    async def embeddings(request: Request) -> Response:
        """Vectors of texts, files or whole rows, in the shape of OpenAI's embeddings."""
        with service.memory.holding() as holding:
            body = await read_body(request, service.settings, holding, service.ends(request))
            asked = shapes.checked(shapes.EmbedAsked, body.asked)
            desk = service.desk(asked.model)
            intake = desk.check()
            given = asked.input if isinstance(asked.input, list) else [asked.input]
            check_count(given, service.settings, "input")
            of = _embedded(desk, given, asked.modality)
            fields = [f"input[{n}]" for n in range(len(given))] if isinstance(asked.input, list) else ["input"]
            column = None if of is None else desk.inputs[of].columns[0]
            read: list[Any] = []
            for item, field in zip(given, fields, strict=True):
                whole = column is None or _is_row(item, intake.kinds)
                read.append((intake.row, item, field) if whole else (intake.cell, item, column, field))
            rows = await asyncio.to_thread(_each, read)
            found = await _unless_gone(request, desk.ask(Task("embed", of), rows, service.ends(request), fields))
        width = len(found[0])
        if asked.dimensions not in (None, width):
            raise unreadable("dimensions", f"vectors of this model have {width} numbers")
        packed = asked.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": n, "embedding": _packed(vector) if packed else vector.tolist()}
            for n, vector in enumerate(found)
        ]
        usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
        return _json({"object": "list", "model": desk.name, "data": data, "usage": usage})

    @app.post(
        "/v1/generate", tags=["models"], response_model=shapes.GenerateGiven,
        openapi_extra=_takes(shapes.GenerateAsked),
        responses={
            **REFUSALS,
            200: {"description": "Events: pieces, then the text.", "content": {"text/event-stream": {}}},
        },
    )  # fmt: skip
    async def generate(request: Request) -> Response:
        """A text about one row, piece by piece: ``data: {"piece": ...}``, then ``{"text": ...}``, then ``[DONE]``."""
        with service.memory.holding() as holding:
            asked, desk, rows, fields = await rows_of(request, shapes.GenerateAsked, holding)
            able = [name for name, facts in desk.outputs.items() if facts.writes]
            output = asked.output if asked.output is not None else able[0] if len(able) == 1 else None
            if output not in able:
                raise unreadable("output", f"expected an output that writes: {', '.join(able) or 'there is none'}")
            pieces = desk.write(rows[0], output, service.ends(request), fields[0])
            if not asked.stream:
                text = await _unless_gone(request, _whole(pieces))
                return _json({"model": desk.name, "output": output, "text": text})
            first = await _unless_gone(request, anext(pieces, None))  # what fails at once gets a status
        return StreamingResponse(_events(first, pieces, desk.name, output), media_type="text/event-stream")


def _each(calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [call(*arguments) for call, *arguments in calls]


async def _unless_gone(request: Request, work: Awaitable[Awaited]) -> Awaited:
    """What was awaited; it is cancelled when the client leaves before."""
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, gone), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Problem(499, "the client left before there was an answer")
        return doing.result()
    finally:
        for task in (doing, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await doing


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


async def _events(first: str | None, pieces: AsyncIterator[str], model: str, output: str) -> AsyncIterator[bytes]:
    said: list[str] = []
    try:
        if first is not None:
            said.append(first)
            yield _event({"piece": first})
        async for piece in pieces:
            said.append(piece)
            yield _event({"piece": piece})
        yield _event({"model": model, "output": output, "text": "".join(said)})
    except Problem as problem:  # the status is long sent
        yield _event(problem.body)
    yield b"data: [DONE]\n\n"


def _event(document: Any) -> bytes:
    return b"data: " + encoded(document) + b"\n\n"


def _notes(rows: Sequence[Row]) -> list[str]:
    return [note for row in rows for note in row.notes]


def _answer(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {"value": _value(answer.value)}
    if answer.confidence is not None:
        found["confidence"] = answer.confidence
    if answer.probabilities is not None:
        found["probabilities"] = {str(label): float(p) for label, p in answer.probabilities.items()}
    return found


def _value(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        kinds = {"image": "image/png", "audio": "audio/wav"}
        kind = kinds.get(modality_from_bytes(value) or "", "application/octet-stream")
        return {"type": kind, "base64": base64.b64encode(value).decode()}
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _explained(said: Contribution) -> dict[str, Any]:
    values = {name: float(value) for name, value in said.values.items()}
    return {"target": _value(said.label), "score": said.score, "base": said.base, "contributions": values}


def _packed(vector: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def _is_row(item: Any, kinds: Mapping[str, str]) -> bool:
    """Whether an item to embed is a row: an object with columns, not one that holds a file."""
    return isinstance(item, dict) and not (len(item) == 1 and set(item) <= {"base64", "url"} - set(kinds))


def _embedded(desk: Desk, given: Sequence[Any], modality: str | None) -> str | None:
    """The input to embed by; None for all together.

    Raises:
        Problem: no such input, or none that reads texts.
    """
    if modality is not None:
        fits = [n for n, facts in desk.inputs.items() if modality in (n, facts.modality)]
        if not fits:
            known = ", ".join(f"{n} ({facts.modality})" for n, facts in desk.inputs.items())
            raise unreadable("modality", f"no input {modality[:40]!r}; there are {known}")
        return fits[0]
    if all(isinstance(item, dict) and not _is_row(item, {}) for item in given):
        raise unreadable("modality", "expected the input that reads these files")
    if any(isinstance(item, dict) for item in given):
        if not desk.outputs:
            raise unreadable("modality", "this model joins nothing: name the input to embed by")
        return None
    texts = [n for n, facts in desk.inputs.items() if facts.modality == "text"]
    if not texts:
        raise unreadable("modality", f"no input reads texts; name one of {', '.join(desk.inputs)}")
    return texts[0]
