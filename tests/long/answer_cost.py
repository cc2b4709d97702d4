"""What an answer over the cable costs beside a step of the audio.

`python -m tests.long.answer_cost` prints the table of docs/diagnostics.md: instructions on this
computer, x86-64, counted by valgrind over the whole simulated device, with the questions and
without, and for the step with half of the sound.
"""

import json
import tempfile
from pathlib import Path

from host_tools import micropython
from host_tools.board.console import code
from host_tools.models.catalog import find_model
from host_tools.simulation import runner, scenario
from host_tools.xtensa import interpreter_cost
from tests.fakes.simulated import silence

#: About what the device takes; `status` counts its blocks.
HEAP_BYTES = 700_000
SECONDS = 4
ANSWERS = 10


def instructions(seconds: float, rows: list[dict]) -> int:
    """Of the simulated device in so much silence with this scenario."""
    model = find_model("okay_nabu")
    with tempfile.TemporaryDirectory(prefix="earnest-") as name:
        folder = Path(name)
        settings = runner.Settings((model,), scenario=scenario.check(rows))
        device = runner.device_settings(settings, folder, runner.PowerOn())
        (folder / "settings.json").write_text(json.dumps(device))
        return interpreter_cost.count(
            micropython.command(runner.DEVICE, folder / "settings.json", heap_bytes=HEAP_BYTES),
            silence(seconds).astype("<i2").tobytes(),
            MICROPYPATH=micropython.environment()["MICROPYPATH"],
        )


def main() -> None:
    quiet = instructions(SECONDS, [])
    step = (quiet - instructions(SECONDS / 2, [])) / (SECONDS * 50)
    print(f"a step of 10 ms  {step:12,.0f} instructions")
    for name in ("levels", "status", "log"):
        line = "\r" + code(name) + "\r"
        rows = [{"t_ms": 300 + 350 * i, "action": "cable", "value": line} for i in range(ANSWERS)]
        answer = (instructions(SECONDS, rows) - quiet) / ANSWERS
        print(f"diag.{name:<12}{answer:12,.0f} instructions, {answer / step:.1f} steps")


if __name__ == "__main__":
    main()
