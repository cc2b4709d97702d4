"""The three questions of `earnest train`: is it said right, is it a good word, shall it begin?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from host_tools.errors import HostToolError
from host_tools.receiver import player
from host_tools.training.request import Request

#: Makes samples of a request, gives their files.
MakeSamples = Callable[[Request], Sequence[Path]]
#: What speaks against the word of a request, in sentences.
Doubts = Callable[[Request], Sequence[str]]


def ask_all(request: Request, make_samples: MakeSamples, doubts: Doubts, cost: str) -> Request:
    """Ask the three questions; return the request with the spellings that the person chose.

    Raises click.Abort for a no.
    """
    request = ask_pronunciation(request, make_samples)
    for doubt in doubts(request):
        click.echo(doubt, err=True)
    if not click.confirm("Is it a word that nobody says by accident?", True, err=True):
        raise click.Abort
    click.echo(cost, err=True)
    if not click.confirm("Begin?", True, err=True):
        raise click.Abort
    return request


def ask_pronunciation(request: Request, make_samples: MakeSamples) -> Request:
    """Let the person hear four samples until they agree; another spelling makes others."""
    while True:
        files = make_samples(request)
        play(files)
        while True:
            answer = click.prompt(
                "Is it said right? [y]es, [a]gain, or another spelling, as in 'hay compuuter'",
                "y",
                err=True,
            ).strip()
            if answer.lower() not in ("a", "again"):
                break
            play(files)
        if answer.lower() in ("y", "yes"):
            return request
        if answer.lower() in ("n", "no"):
            click.echo("Spell it as it sounds; each way of saying it can be added.", err=True)
            answer = click.prompt("Another spelling", err=True).strip()
        request = dataclasses.replace(request, say=(answer,))


def play(files: Sequence[Path]) -> None:
    """Play the samples; where nothing can play, say where they are."""
    click.echo("samples: " + ", ".join(str(path) for path in files), err=True)
    for path in files:
        try:
            player.play_wav(path.read_bytes())
        except HostToolError as error:
            click.echo(f"not played: {error.message}; listen to the files yourself", err=True)
            return
