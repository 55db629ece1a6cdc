"""What is shown in the terminal, as HTML for a notebook."""

from __future__ import annotations

import io
from typing import Any

WIDTH = 130  # characters
STYLE = "overflow-x:auto;line-height:1.3;font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace"


def as_html(shown: Any) -> str:
    """HTML of anything that rich can print; all that comes from a table is escaped."""
    from rich.console import Console

    console = Console(record=True, file=io.StringIO(), width=WIDTH)
    console.print(shown)
    return console.export_html(inline_styles=True, code_format=f'<pre style="{STYLE}">{{code}}</pre>')
