"""Writes the file tree of ``docs/layout.md``: one line per file, the first line of what the file says of itself.

``python scripts/file_tree.py`` rewrites the part between the markers; ``--check`` only says whether it is in step.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "layout.md"
START, END = "<!-- file tree -->", "<!-- end of file tree -->"


def tree() -> str:
    """The tree as a fenced block."""
    package = ROOT / "src" / "polyfuse"
    lines = ["```", "src/polyfuse/"]
    folder = Path()
    for path in sorted(package.rglob("*.py"), key=lambda p: (p.parent.relative_to(package).parts, p.name)):
        where, said = path.relative_to(package), ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))
        if where.parent != folder:
            folder = where.parent
            lines.append(f"  {folder.as_posix()}/")
        if said:
            indent = "  " * (1 + bool(folder.parts))
            lines.append(f"{indent}{where.name:<28}{said.splitlines()[0]}")
    return "\n".join([*lines, "```"])


def renewed(text: str) -> str:
    """The page with the present tree between its markers."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{tree()}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    text = PAGE.read_text(encoding="utf8")
    if renewed(text) == text:
        return
    if "--check" in sys.argv:
        sys.exit(f"the file tree of {PAGE.relative_to(ROOT)} is out of step: run python scripts/file_tree.py")
    PAGE.write_text(renewed(text), encoding="utf8")


if __name__ == "__main__":
    main()
