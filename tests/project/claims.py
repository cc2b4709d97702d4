"""`make claims`: every claim of the documents with the tests that hold it and what they measured.

Runs the tests that docs/privacy.md names for each promise and docs/measurements.md for each row,
and holds the figures of these pages and of README.md against what the tests print.  A test says
what it measured with the fixture `figure`, or in MicroPython by printing a line `figure: ...`.

    .venv/bin/python -m tests.project.claims [WORD ...]     only claims with one of these words
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from typing import NamedTuple

import pytest

from host_tools.shared_firmware import ROOT

#: `file.py::test`, `::test` of the file named before, `file.py` alone.
TEST = re.compile(r"`(?:tests/)?((?:\w+/)?test_\w+\.py)?(?:::(\w+))?`")
NUMBER = re.compile(r"\d[\d,]*")
IDLE = "tests/simulation/test_idle_budget.py"
GATE = "tests/firmware/test_gate_promises.py::test_every_transition_of_every_reachable_state"
SPEECH = "tests/firmware/test_speech_promises.py::test_every_transition_of_every_reachable_state"
DEVICE = "tests/simulation/test_device_simulation.py"


class Claim(NamedTuple):
    """What a document says, and the tests that hold it."""

    document: str
    text: str
    tests: tuple[str, ...]
    figure: str | None = None  # what the tests must print, their numbers added up


#: Figures in the documents' text: the words there, the test, and what it prints.
FIGURES = (
    Claim("README.md", "a ping every 30 s", (f"{IDLE}::test_idle_bytes_per_minute",)),
    Claim(
        "README.md",
        "15 s at most",
        (f"{DEVICE}::test_a_stream_has_a_hard_cap",),
        "a stream that nobody ends is cut after 15 s",
    ),
    Claim(
        "docs/privacy.md",
        "256 bytes a minute",
        (f"{IDLE}::test_idle_bytes_per_minute",),
        "256 bytes a minute",
    ),
    Claim(
        "docs/privacy.md",
        "184 bytes more",
        (f"{IDLE}::test_a_log_that_grows_all_the_time_adds_one_message_a_minute",),
        "184 bytes more in a minute in which the log grew",
    ),
    Claim("docs/privacy.md", "1,733 states", (GATE,), "1,733 states, 34,660 transitions"),
    Claim("docs/privacy.md", "4,968 states", (SPEECH,), "4,968 states, 104,328 transitions"),
)
#: Figures that docs/measurements.md has in a row: its first words, and what the tests print.
MEASURED = {
    "features, int8 inputs and probabilities": "0 of 92,740 inferences differ",
    "one stream of an hour": "0 of 360,000 steps differ",
    "random models of the family": "350 models, 14,000 inferences, 0 differ",
    "every event in every reachable state": "1,733 states, 34,660 transitions",
    "idle traffic": "256 bytes a minute",
}


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def tests_in(words: str) -> tuple[str, ...]:
    """The tests that a text names; a file without a folder is in tests/firmware/."""
    found, path = [], ""
    for file, test in TEST.findall(words):
        if file:
            path = f"tests/{file if '/' in file else 'firmware/' + file}"
        if file or test:
            found.append(f"{path}::{test}" if test else path)
    return tuple(dict.fromkeys(found))


def promises() -> list[Claim]:
    """The promises of docs/privacy.md: heading, and the tests of its paragraph *Tests.*."""
    claims = []
    for part in re.split(r"^## (?=\d)", text("docs/privacy.md"), flags=re.M)[1:]:
        named = re.search(r"^\*Tests\.\*.*?(?=^\s*$)", part, re.M | re.S)
        heading = part.partition("\n")[0]
        claims.append(Claim("docs/privacy.md", heading, tests_in(named[0] if named else "")))
    return claims


def measurements() -> list[Claim]:
    """The rows of docs/measurements.md whose command is a test."""
    claims = []
    for measured, result, command in re.findall(
        r"^\| (.+?) \| (.+?) \| (`.+?`) \|$", text("docs/measurements.md"), re.M
    ):
        if tests := tests_in(command):
            figure = next((f for words, f in MEASURED.items() if measured.startswith(words)), None)
            claims.append(Claim("docs/measurements.md", f"{measured}: {result}", tests, figure))
    return claims


def all_claims() -> list[Claim]:
    return [*FIGURES, *promises(), *measurements()]


def added_up(figures: list[str]) -> list[str]:
    """Figures that differ only in their numbers become one, with the sums of these."""
    sums: dict[str, list[int]] = {}
    for figure in figures:
        numbers = [int(number.replace(",", "")) for number in NUMBER.findall(figure)]
        template = NUMBER.sub("{:,}", figure)
        before = sums.get(template, [0] * len(numbers))
        sums[template] = [a + b for a, b in zip(before, numbers, strict=True)]
    return [template.format(*numbers) for template, numbers in sums.items()]


class Results:
    """A pytest plugin that keeps each test's outcome and figures, by its name without [...]."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)
        self.figures: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.partition("[")[0]
            self.outcomes[name].append(report.outcome)
            if report.when == "call":
                self.figures[name] += [v for k, v in report.user_properties if k == "figure"]

    def of(self, test: str) -> tuple[list[str], list[str]]:
        """(outcomes, figures) of a test, or of every test of a file."""
        names = [n for n in self.outcomes if n == test or n.startswith(test + "::")]
        return (
            [outcome for name in names for outcome in self.outcomes[name]],
            [figure for name in names for figure in self.figures[name]],
        )


def report(claim: Claim, results: Results) -> tuple[list[str], bool]:
    """(the lines to print for a claim, whether it holds)."""
    lines, all_figures, holds = [f"\n{claim.document}: {claim.text}"], [], True
    for test in claim.tests:
        outcomes, figures = results.of(test)
        all_figures += figures
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in sorted(set(outcomes)))
        holds &= "passed" in outcomes and "failed" not in outcomes
        lines.append(f"    {test}: {'; '.join([counts or 'did not run', *added_up(figures)])}")
    if claim.figure is not None:
        is_printed = claim.figure in added_up(all_figures)
        holds &= is_printed
        words = "printed" if is_printed else "NOT PRINTED"
        lines.append(f"    figure: {claim.figure} ({words})")
    return lines, holds


def main(words: list[str]) -> int:
    claims = [c for c in all_claims() if not words or any(w in str(c) for w in words)]
    tests = list(dict.fromkeys(test for claim in claims for test in claim.tests))
    files = {test for test in tests if "::" not in test}
    chosen = [t for t in tests if t in files or t.partition("::")[0] not in files]
    results = Results()
    status = pytest.main(
        ["-q", "-r", "fE", "-n", "auto", "--dist", "worksteal", *chosen], plugins=[results]
    )
    reports = [report(claim, results) for claim in claims]
    for lines, _ in reports:
        print("\n".join(lines))
    broken = sum(not holds for _, holds in reports)
    print(f"\n{len(claims) - broken} claims hold, {broken} do not")
    return int(bool(broken or status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
