"""Two thousand random weight sets: exported, converted, run by TFLite Micro and by whole_clips.

    .venv/bin/python -m tests.long.exported_weights [COUNT]

`tests/training/test_export.py` takes the first two hundred; the firmware runs some of them.
"""

from __future__ import annotations

import sys

import torch

from tests.training.test_export import INFERENCES, compared, speech_and_noise

COUNT = 2000


def main() -> None:
    """Compare; an assertion fails at the first output that differs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    torch.set_num_threads(1)
    heard = speech_and_noise()
    for seed in range(count):
        compared(seed, heard)
    print(f"{count} weight sets, {count * INFERENCES} inferences, 0 differ")


if __name__ == "__main__":
    main()
