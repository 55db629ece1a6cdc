"""The documentation site: whole, built without a warning (by ``make check`` as well), nothing loaded from elsewhere."""

from __future__ import annotations

import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import polyfuse as pf
from polyfuse import registry
from polyfuse.recipe import Recipe
from tests.conftest import PROJECT


def script(name: str):
    """A module of ``scripts/``, which is no package."""
    spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = script("docs_pages")


def test_every_public_name_has_its_docstring():
    page = pages.names_page()
    assert [name for name in pf.__all__ if f"\n::: polyfuse.{name}\n" not in page] == []


def test_every_recipe_field_is_listed_and_described():
    schema, page = Recipe.model_json_schema(), pages.recipe_page()
    for name, section in [("Recipe", schema), *schema["$defs"].items()]:
        own = page.partition(f"\n## {pages.heading(name)}\n")[2].partition("\n## ")[0]
        for field in section["properties"]:
            (row,) = re.findall(rf"^\| `{field}` \| .* \|$", own, re.M)
            assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]), f"{name}.{field}: {row}"


def test_every_part_is_listed_with_all_its_keywords_described():
    page = pages.parts_page()
    for kind in pages.KINDS:
        own = page.partition(f"\n## {kind.capitalize()}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^### (.+)$", own, re.M) == [row.name for row in pf.parts(kind)]
    assert all(f"`{name}`" in page for name in registry.TRANSFORMS)
    assert not re.findall(r"^\| `.*\|\s*\|$", page, re.M)


def test_every_verb_has_its_help():
    assert re.findall(r"^## (.+)$", pages.commands_page(), re.M)[:3] == ["demo", "list", "starter"]


def test_arguments_that_share_a_line_become_a_line_each():
    pytest.importorskip("griffe", reason="mkdocstrings is not installed: pip install 'polyfuse[dev]'")
    apart = script("docs_arguments").apart
    said = "Sum.\n\nArgs:\n    a, b: one\n        and more\n    c: two\n\nSee: x, y: z"
    lines = "    a: one\n        and more\n    b: one\n        and more\n    c: two"
    assert apart(said) == f"Sum.\n\nArgs:\n{lines}\n\nSee: x, y: z"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for package in ("mkdocs", "mkdocstrings"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'polyfuse[dev]'")
    to = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(to)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return to


LOADED = (  # what a browser fetches by itself, as opposed to a link that a person follows
    r"<script[^>]*\ssrc\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)",
    r"<link(?![^>]*rel=[\"']?canonical)[^>]*\shref\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)",
    r"<(?:img|iframe|source|video|audio|embed)[^>]*\s(?:src|srcset)\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)",
    r"url\(\s*[\"']?((?:https?:)?//[^\"')]+)",
    r"@import\s+[\"']((?:https?:)?//[^\"']+)",
)


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".js")]
    assert len(files) > 20
    found = [
        (path.name, place)
        for path in files
        for pattern in LOADED
        for place in re.findall(pattern, path.read_text(encoding="utf8"))
    ]
    assert found == []


@pytest.mark.slow
def test_the_site_shows_every_public_name_and_field(site):
    python = html.unescape((site / "reference/python.html").read_text(encoding="utf8"))
    assert not [name for name in pf.__all__ if f'id="{name.lower()}"' not in python]
    assert "Train a model, judge it on the test split" in python
    assert "FIELD=VALUE" in python  # an argument's description
    for place in (
        "index.html",
        "tutorial.html",
        "tutorial.zh.html",
        "reference/parts.html",
        "search/search_index.json",
    ):
        assert (site / place).stat().st_size > 1000


def test_a_load_from_elsewhere_would_be_found():
    for line in (
        '<script src="https://cdn.example/x.js">',
        '<link rel="stylesheet" href="//fonts.example/css">',
        "@font-face { src: url(https://fonts.example/a.woff2) }",
        "@import 'https://fonts.example/a.css'",
    ):
        assert any(re.findall(pattern, line) for pattern in LOADED)
    assert not any(re.findall(pattern, '<a href="https://example.org">') for pattern in LOADED)
