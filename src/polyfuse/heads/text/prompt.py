"""A prompt: words with columns of the table between braces, ``Question: {question} Answer:``, filled in row by row.

Its columns are read as they are written; no encoder has a part in that, at training as at prediction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from polyfuse.data.cells.plain_text import plain_texts
from polyfuse.records import Cells, Tokens

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Template:
    """A prompt, and the columns that it names; ``{{`` and ``}}`` stand for the braces themselves.

    Raises:
        ValueError: a brace without its other, or one that names nothing.
    """

    def __init__(self, text: str):
        if not isinstance(text, str):
            raise ValueError(
                f"prompt: expected a text, between quotes, such as 'Question: {{question}}'; found {text!r}"
            )
        self.text = text
        self.parts: list[tuple[str, bool]] = []  # words as they are, or the name of a column
        for found in _PIECE.finditer(text):
            piece, column = found[0], found[1]
            if piece in ("{", "}") or column == "":
                raise ValueError(
                    f"prompt {text!r}: expected the name of a column between braces, such as {{question}}; write "
                    "{{ and }} for braces themselves"
                )
            self.parts.append((piece[0] if piece in ("{{", "}}") else column or piece, column is not None))

    @property
    def columns(self) -> list[str]:
        """Names of the columns, each once."""
        return list(dict.fromkeys(part for part, named in self.parts if named))

    def filled(self, cells: Mapping[str, str]) -> str:
        """The prompt of one row.

        Args:
            cells: column -> its text; nothing is written for those that are not there.
        """
        return "".join(cells.get(part, "") if named else part for part, named in self.parts)

    def of_rows(self, count: int, cells: Cells | None, clean: Callable[[str], str]) -> list[str]:
        """The prompt of every row; nothing stands in the place of a cell that is missing.

        Args:
            count: B.
            cells: of the columns, in their order, as ``text.plain`` collates them.
            clean: what to do to each cell first.

        Raises:
            ValueError: it names columns, and there are no cells.
        """
        if not self.columns:
            return [self.filled({})] * count
        if cells is None:
            raise ValueError(f"prompt {self.text!r}: the batch has no cells of {', '.join(self.columns)}")
        fields: Any = cells.fields
        texts = [clean(text) for text in plain_texts(fields)]
        rows = ([texts[at] if at >= 0 else "" for at in row] for row in cells.index_BK.tolist())
        return [self.filled(dict(zip(self.columns, row, strict=True))) for row in rows]


@runtime_checkable
class Prompted(Protocol):
    """A decoder that is told something in words before it writes."""

    template: Template

    def told(self, memory: Tokens, prompts: list[str]) -> Tokens:
        """The tokens of every row with its prompt."""
