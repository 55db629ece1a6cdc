"""``polyfuse completion``: the lines with which a shell completes verbs, options and names of parts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_POLYFUSE_COMPLETE"
"""Environment variable by which those lines ask this program what may follow."""


class Shell(StrEnum):
    """Shells that can be completed in."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that shall complete.")]) -> None:
    """Print the lines that make a shell complete this program.

    bash: polyfuse completion bash >> ~/.bashrc;
    zsh: polyfuse completion zsh >> ~/.zshrc, below compinit;
    fish: polyfuse completion fish > ~/.config/fish/completions/polyfuse.fish.
    Then open a new shell. polyfuse --install-completion does it for the shell that it runs in.
    """
    from typer.completion import get_completion_script

    print(get_completion_script(prog_name="polyfuse", complete_var=VARIABLE, shell=shell.value))
