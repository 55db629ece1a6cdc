"""The list of files in ``docs/layout.md`` and the rooms in ``docs/concepts.md`` are those of the package."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


@pytest.mark.parametrize("script", ["file_tree", "rooms"])
def test_it_is_in_step(script):
    done = subprocess.run(
        [sys.executable, f"scripts/{script}.py", "--check"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_it_names_every_module_that_says_what_it_is():
    page = (PROJECT / "docs/layout.md").read_text(encoding="utf8")
    package = PROJECT / "src/polyfuse"
    listed = re.findall(r"^ +(\w+\.py) ", page, re.M)
    assert len(listed) == sum(path.stat().st_size > 0 for path in package.rglob("*.py"))


def test_the_readmes_stay_short():
    for name in ("README.md", "README.zh.md"):
        text = (PROJECT / name).read_text(encoding="utf8")
        assert "file tree" not in text
        assert len(text.splitlines()) < 120
        assert "docs/layout.md" in text
