"""The rooms of the package, lowest first, and the picture of them in ``docs/concepts.md``.

``python scripts/rooms.py`` rewrites the part between the markers; ``--check`` only says whether it is in step.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "concepts.md"
START, END = "<!-- rooms -->", "<!-- end of rooms -->"

# lowest first; modules of one row never import each other
LAYERS = [
    ["errors", "version"],
    ["records", "registry", "system", "trust", "data.cells"],
    ["layers", "metrics", "starter", "contracts", "runtime"],
    ["encoders.hub"],
    ["data", "encoders", "fusion", "heads", "objectives", "learners"],
    ["recipe"],
    ["model"],
    ["training", "evaluation"],
    ["comparison", "search", "explain", "export"],
    ["compress"],
    ["serve"],
    ["digits"],
    ["api"],
    ["sklearn", "cli", "testing"],
    ["__main__"],
]


def lines_and_words(room: str) -> tuple[int, str]:
    """Lines of code of a room or module, to the nearest hundred, and the first line of what it says of itself."""
    place = ROOT / "src" / "polyfuse" / Path(*room.split("."))
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    first = place / "__init__.py" if place.is_dir() else files[0]
    inner = {
        path
        for other in (name for row in LAYERS for name in row)
        if other.startswith(room + ".")
        for path in (ROOT / "src" / "polyfuse" / Path(*other.split("."))).rglob("*.py")
    }
    count = sum(len(path.read_text(encoding="utf8").splitlines()) for path in files if path not in inner)
    said = ast.get_docstring(ast.parse(first.read_text(encoding="utf8"))) or ""
    return max(100, round(count, -2)), said.splitlines()[0] if said else ""


def picture() -> str:
    """A table of the rooms, the front first: each row imports only from rows below it."""
    rows = ["| room | lines | what it holds |", "|---|---|---|"]
    for names in reversed(LAYERS):
        for name in names:
            lines, said = lines_and_words(name)
            rows.append(f"| `{name}` | {lines:,} | {said} |")
        rows.append("| | | |")
    return "\n".join(rows[:-1])


def renewed(text: str) -> str:
    """The page with the present rooms between its markers."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{picture()}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    text = PAGE.read_text(encoding="utf8")
    new = renewed(text)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == text else f"{PAGE.name}: run python scripts/rooms.py")
    PAGE.write_text(new, encoding="utf8")


if __name__ == "__main__":
    main()
