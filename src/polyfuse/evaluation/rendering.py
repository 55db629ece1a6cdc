"""How a record of findings is shown: in the terminal, in a notebook, as a page. Records know nothing of that.

What draws a record stands in ``registry.RENDERERS`` and is imported when the record is shown; it reads the record, and
the record never reads it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfuse import registry
from polyfuse.data.output_paths import check_page_path

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 130  # characters
STYLE = "overflow-x:auto;line-height:1.3;font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace"


class Rendered:
    """A record that shows itself: printed by rich it is a table, and a notebook shows the same."""

    def __rich__(self) -> RenderableType:
        return _renderer(self, "terminal")

    def _repr_html_(self) -> str:
        return as_html(self)


class RenderedPage(Rendered):
    """A record that has a page too."""

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page: it loads nothing, runs no script, and can be sent by mail.

        Returns:
            The path written.
        """
        path = check_page_path(path)
        page = _renderer(self, "page")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf8")
        return path


def _renderer(record: Any, where: str) -> Any:
    """What draws a record there, asked for it."""
    return registry.resolve(registry.RENDERERS[type(record).__name__][where])(record)


def as_html(shown: Any) -> str:
    """What is shown in the terminal, as HTML for a notebook; all that comes from a table is escaped."""
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=WIDTH)
    console.print(shown)
    return console.export_html(inline_styles=True, code_format=f'<pre style="{STYLE}">{{code}}</pre>')


def plain_text(shown: Any, width: int = WIDTH) -> str:
    """What is shown in the terminal, without colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(shown)
    return "\n".join(line.rstrip() for line in console.file.getvalue().strip("\n").splitlines())  # type: ignore[attr-defined]
