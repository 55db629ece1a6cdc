"""The tutorial in Chinese says what the English one says: the same sections, the same code."""

from __future__ import annotations

import re

import pytest

from polyfuse.recipe import parse
from tests.conftest import PROJECT

ENGLISH, CHINESE = ((PROJECT / "docs" / name).read_text(encoding="utf8") for name in ("tutorial.md", "tutorial.zh.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def blocks(text: str) -> list[tuple[str, str]]:
    """Kind and content of each code block, without its comments, which are translated."""
    return [(kind, re.sub(r"  # .*", "", content)) for kind, content in BLOCK.findall(text)]


def sections(text: str) -> list[tuple[str, int, list[str]]]:
    """Of each section: depth and number of its heading, its paragraphs, and what it names as code."""
    found = []
    for part in re.split(r"^(?=#+ )", BLOCK.sub("", text), flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        mark = re.match(r"(#+)(?: (\d+)\.)?", head)
        assert mark
        paragraphs = [p for p in body.split("\n\n") if p.strip()]
        found.append((mark[0], len(paragraphs), sorted(set(re.findall(r"`([^`]+)`", " ".join(body.split()))))))
    return found


def test_they_have_the_same_code_blocks():
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_they_have_the_same_sections_paragraphs_and_names():
    ours, theirs = sections(CHINESE), sections(ENGLISH)
    assert [(head, count) for head, count, _ in ours] == [(head, count) for head, count, _ in theirs]
    for (head, _, names), (_, _, expected) in zip(ours, theirs, strict=True):
        assert set(expected) <= set(names), f"{head}: {set(expected) - set(names)}"


def test_the_chinese_one_is_written_in_chinese_and_linked():
    prose = re.sub(r"`[^`]+`", "", BLOCK.sub("", CHINESE))
    assert len(re.findall(r"[\u4e00-\u9fff]", prose)) > 1200
    assert "docs/tutorial.zh.md" in (PROJECT / "README.zh.md").read_text(encoding="utf8")
    assert not re.search("部件|日程", CHINESE)


@pytest.mark.parametrize("text", [block for kind, block in blocks(ENGLISH) if kind == "yaml"])
def test_its_recipes_are_recipes(text):
    import yaml

    parse(yaml.safe_load(text))
