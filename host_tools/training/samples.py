"""Four samples of how a word will be said, for its owner to hear and agree with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.progress import OpenProgress
from host_tools.training import clips, orders, registry, speech_workers, voices, word_checks
from host_tools.training.clips import WORD
from host_tools.training.orders import Texts
from host_tools.training.pronunciation import Word, word
from host_tools.training.request import Request

COUNT = 4
_SEED = 7


def make(
    request: Request,
    cache: Path,
    voices_folder: Path,
    is_offline: bool,
    open_progress: OpenProgress,
) -> list[Path]:
    """Make the samples in `cache`; return their files.

    Raises HostToolError when the voices cannot be had.
    """
    family = voices.family(request.voices, voices_folder)
    registry.fetch(voices_folder, family.artefacts, open_progress, is_offline=is_offline)
    texts = Texts(word(request.text, request.say), ())
    drawn = [orders.draw(WORD, number, texts, [family], 0.0, _SEED) for number in range(COUNT)]
    folder = cache / "samples"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostToolError(f"{folder}: {error.strerror}", "name another: --cache DIR") from error
    files = []
    with open_progress(COUNT) as report:
        for order in orders.pronounced(drawn):
            clips.save(folder, order.number, speech_workers.spoken(order, [family], _SEED))
            files.append(clips.path_of(folder, order.number))
            report("samples", 1)
    return files


def doubt(said: Word) -> Sequence[str]:
    """Return what speaks against a word, in sentences: what sounds like it."""
    return [f"Words that sound most like it: {', '.join(word_checks.near(said))}."]
