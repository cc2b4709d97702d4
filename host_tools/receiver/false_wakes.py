"""The false wakes that the owner kept and labelled: negatives for measuring and training.

`iter_false_wakes` is the one door to their audio, for `earnest evaluate --false-wakes` and for
training.  It is unsealed in memory, one recording at a time, and nothing of it is written to disk.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.receiver.recording import Recording
from host_tools.receiver.recordings import Recordings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def iter_false_wakes(
    data_folder: Path, wake_word: str | None = None
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield (recording id, samples int16 [n], 16 kHz mono) of each kept false wake.

    The receiver's log records each one (`look`, `measure`) before it is unsealed; one that cannot
    be recorded is not given out.  A recording begins where its stream did: with the pre-roll that
    its device allows, 0 to 500 ms before the detection, and without one right behind it.  So it
    may hold little of the sound that woke the device, and always holds what was said or played
    after it.  Whoever keeps a copy must delete it when its recording is deleted: the id tells.

    Args:
        data_folder: The receiver's folder; one that does not exist has none.
        wake_word: Only of this model (as in `okay_nabu`); None: of every one, also unknown ones.

    Raises:
        HostToolError: a recording is damaged, or the folder or its log cannot be used.
    """
    import numpy as np  # for a listing, which needs none, it would take too long

    if not data_folder.is_dir():
        return
    with closing(Recordings(data_folder)) as recordings:
        for recording in false_wakes(recordings, wake_word):
            wav = recordings.wav(recording, what="measure")
            with wave.open(io.BytesIO(wav)) as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            yield recording.id, samples.astype(np.int16)


def false_wakes(recordings: Recordings, wake_word: str | None = None) -> list[Recording]:
    """Return the recordings that are labelled as false wakes, the oldest first."""
    labels = recordings.labels.all()
    return [
        recording
        for recording in recordings.all()
        if recording.id in labels
        and labels[recording.id].is_false_wake
        and wake_word in (None, recording.wake_word)
    ]
