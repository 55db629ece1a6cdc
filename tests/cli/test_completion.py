"""A shell completes verbs, options and names of parts, by the lines that ``polyfuse completion`` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polyfuse import registry
from polyfuse.cli.common import complete_from


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    """A PATH with the program on it."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "polyfuse"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m polyfuse "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def said(path: str, *command: str, **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


OFFERED = [
    ("fi", {"fit"}),
    ("fit --medi", {"--media-root"}),
    ("fit t.csv --fusion co", {name for name in registry.FUSIONS if name.startswith("co")}),
    ("list en", {"encoders"}),
    ("fit t.csv --preset s", {"scratch", "starter"}),
    ("fit no-such-file", set()),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_offers_verbs_options_and_names(path):
    lines = ["source <(polyfuse completion bash); declare -F _polyfuse_completion > /dev/null || exit 9"]
    for words, _ in OFFERED:
        place = len(words.split())
        lines.append(f"COMP_WORDS=(polyfuse {words}); COMP_CWORD={place}; COMPREPLY=(); _polyfuse_completion polyfuse")
        lines.append('echo "${COMPREPLY[@]}"')
    found = said(path, "bash", "--norc", "-c", "\n".join(lines)).splitlines()
    assert [(words, set(line.split())) for (words, _), line in zip(OFFERED, found, strict=True)] == OFFERED


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef polyfuse"), ("fish", "complete --command polyfuse")])
def test_zsh_and_fish_are_given_their_lines_and_their_answers(path, shell, mark):
    lines = said(path, "polyfuse", "completion", shell)
    assert mark in lines
    assert f"_POLYFUSE_COMPLETE=complete_{shell}" in lines
    asked = {"_POLYFUSE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "polyfuse rob"}
    answer = said(path, "polyfuse", _TYPER_COMPLETE_FISH_ACTION="get-args", **asked)
    assert "robustness" in answer
    assert "predict" not in answer


def test_another_shell_is_refused_by_name(path):
    command = [Path(path.partition(os.pathsep)[0]) / "polyfuse", "completion", "tcsh"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "tcsh" in done.stderr
    assert "bash" in done.stderr


def test_what_is_offered_begins_as_the_word_does():
    assert complete_from("auto", "cpu", "cuda")("c") == ["cpu", "cuda"]
