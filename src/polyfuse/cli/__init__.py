"""The command line: one file per verb, each a thin call of the Python API with the same names."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.attend import attend
from polyfuse.cli.common import replace_unencodable
from polyfuse.cli.compare import compare
from polyfuse.cli.completion import completion
from polyfuse.cli.compress import compress
from polyfuse.cli.demo import demo
from polyfuse.cli.embed import embed
from polyfuse.cli.evaluate import evaluate
from polyfuse.cli.explain import explain
from polyfuse.cli.export import export
from polyfuse.cli.fit import fit
from polyfuse.cli.index import index
from polyfuse.cli.inspect import inspect
from polyfuse.cli.list import list_parts
from polyfuse.cli.predict import predict
from polyfuse.cli.robustness import robustness
from polyfuse.cli.search import search
from polyfuse.cli.serve import serve
from polyfuse.cli.show import show
from polyfuse.cli.starter import starter
from polyfuse.cli.zero_shot import zero_shot

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command("list")(list_parts)
app.command()(starter)
app.command()(inspect)
app.command()(fit)
app.command()(evaluate)
app.command()(compare)
app.command()(robustness)
app.command()(compress)
app.command()(predict)
app.command()(attend)
app.command()(explain)
app.command()(embed)
app.command("zero-shot")(zero_shot)
app.command()(index)
app.command()(search)
app.command()(serve)
app.command()(show)
app.command()(export)
app.command()(completion)


def _version(asked: bool) -> None:
    if asked:
        print(f"polyfuse {polyfuse.__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Learn from tables whose cells are text, images, sound, video and numbers."""


def main() -> None:
    """Run the command line; what is wrong with the user's input becomes one message and exit status 2."""
    replace_unencodable(sys.stdout, sys.stderr)
    try:
        app(prog_name="polyfuse")
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("POLYFUSE_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if (stop := _interruption(end)) is not None:
            print(f"interrupted {stop}".rstrip(), file=sys.stderr)
        raise


def _interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C of which typer has made an exit with status 130, or None."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
