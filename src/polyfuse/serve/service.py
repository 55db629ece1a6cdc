"""The service as a process: a port is taken, models are opened, and signals end it once all is answered."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyfuse.errors import extra
from polyfuse.serve.examples import read_examples
from polyfuse.serve.logs import Log
from polyfuse.serve.models import names_of
from polyfuse.serve.settings import Settings
from polyfuse.serve.tokens import read_tokens
from polyfuse.system.process import SignalListener

with extra("serve"):
    import uvicorn

    from polyfuse.serve import protocol
    from polyfuse.serve.app import LOCAL, Service, make_app

HOST, PORT = "127.0.0.1", 8000
WAITING = 512  # connections that wait to be accepted


def make_service(
    models: str | Path | Sequence[str | Path],
    *,
    settings: Settings = Settings(),
    token_file: str | Path | None = None,
    examples: Sequence[str | Path] = (),
    environment: Mapping[str, str] = os.environ,
    log: Log | None = None,
) -> Service:
    """Everything that can be checked before a model is loaded.

    Args:
        models: folders of saved or exported models, each ``FOLDER`` or ``NAME=FOLDER``.
        token_file: tokens, a line each; ``POLYFUSE_TOKENS`` of the environment holds further ones.
        examples: tables whose first rows the page offers, ``TABLE`` for the first model or ``NAME=TABLE``.
        environment: where tokens are looked for.
        log: where lines go; standard error by default.

    Raises:
        ValueError: no such model, token file or table.
    """
    log = log or Log()
    folders = names_of([models] if isinstance(models, (str, Path)) else models)
    tokens, notes = read_tokens(token_file, environment)
    for note in notes:
        log("warning", "warning", reason=note)
    rows: dict[str, tuple[list[dict[str, Any]], Path]] = {}
    for given in map(str, examples):
        name, mark, rest = given.partition("=")
        name, table = (name, rest) if mark and name in folders else (next(iter(folders)), given)
        rows[name] = (read_examples(table), Path(table).resolve().parent)
    return Service(folders, settings, tokens, rows, log)


def run_service(
    models: str | Path | Sequence[str | Path],
    *,
    host: str = HOST,
    port: int = PORT,
    settings: Settings = Settings(),
    token_file: str | Path | None = None,
    examples: Sequence[str | Path] = (),
    started: Callable[[str], None] | None = None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then finish what is in flight.

    Args:
        models, settings, token_file, examples: as for ``make_service``.
        host: address to listen at; 127.0.0.1 answers this machine alone, and 0.0.0.0 everybody.
        port: 0 takes any that is free.
        started: told the address, before models are loaded.

    Raises:
        ValueError: what is asked cannot be, or a model cannot be loaded.
        OSError: the port is taken.
    """
    service = make_service(models, settings=settings, token_file=token_file, examples=examples)
    local = host in LOCAL
    with listening(host, port) as bound:
        address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}/"
        if not local and not service.tokens:
            said = f"{address} answers whoever reaches it: give --token-file, or POLYFUSE_TOKENS, or --host {HOST}"
            service.log("warning", "warning", reason=said)
        service.log("listening", address=address, models=list(service.desks))
        if started is not None:
            started(address)
        protocol.run(run(service, make_server(service, LOCAL if local else None), bound))


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
        OSError: it is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(WAITING)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"{host}, port {port} cannot be used ({reason}): name another one with --port, or 0 for any that is free"
        ) from None
    return bound


class _Server(uvicorn.Server):
    """Ends on signals as uvicorn does, and then goes on to what stands behind it instead of dying of them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While it runs, Ctrl-C and SIGTERM let it finish what is in flight; a second one does not wait."""
        with SignalListener(lambda number: self.handle_exit(number, None)):
            yield


def make_server(service: Service, hosts: Sequence[str] | None) -> uvicorn.Server:
    """What answers at a socket.

    Args:
        hosts: names that it answers to; None for any.
    """
    app = make_app(service, hosts)
    grace = max(1, round(service.settings.grace))
    options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "lifespan": "on"}
    options |= {"http": protocol.PROTOCOL, "ws": "none", "timeout_graceful_shutdown": grace, "timeout_keep_alive": 15}
    return _Server(uvicorn.Config(app, **options))


async def run(service: Service, server: uvicorn.Server, bound: socket.socket) -> None:
    """Answer until the server is told to end, then finish what is in flight.

    Raises:
        ValueError: a model cannot be loaded.
    """
    watching = asyncio.create_task(_first_failure(service, server))
    await server.serve(sockets=[bound])
    watching.cancel()
    failed = [
        f"model {name!r}: {desk.failure}" for name, desk in service.desks.items() if desk.failure and not desk.ever
    ]
    service.log("stopped")
    if failed:
        raise ValueError("; ".join(failed))


async def _first_failure(service: Service, server: uvicorn.Server) -> None:
    """End a service of which a model never came up: whoever started it should read why."""
    for desk in service.desks.values():
        await desk.settled.wait()
        if desk.failure and not desk.ever:
            server.should_exit = True
