"""`holdfast completion`: the script a shell evaluates to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Examples:
      eval "$(holdfast completion bash)"                     this shell only
      holdfast completion zsh > ~/.zfunc/_holdfast           every zsh
      holdfast completion fish > ~/.config/fish/completions/holdfast.fish
    """
    from holdfast.app.cli.main import root

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    click.echo(kind(root, {}, "holdfast", "_HOLDFAST_COMPLETE").source())
