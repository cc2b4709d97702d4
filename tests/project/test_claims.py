"""`make claims` finds every claim, names tests that are there, and sees a figure that is not."""

import ast

import pytest

from host_tools.shared_firmware import ROOT
from tests.project import claims
from tests.project.claims import Claim, Results


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_and_every_measured_row_is_a_claim():
    assert len(claims.promises()) >= 9
    assert all(claim.tests for claim in claims.promises())
    assert {claim.figure for claim in claims.measurements()} >= set(claims.MEASURED.values())


@pytest.mark.parametrize("claim", claims.FIGURES, ids=lambda claim: claim.text)
def test_the_words_of_a_figure_are_in_its_document(claim):
    words = " ".join(claims.text(claim.document).split())
    assert claim.text in words


def test_every_test_of_a_claim_is_there():
    for claim in claims.all_claims():
        for test in claim.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert not name or name in functions_of(ROOT / file), test


def test_figures_are_added_up():
    printed = ["2 models, 1,000 inferences, 0 differ", "3 models, 500 inferences, 1 differ", "9 s"]
    assert claims.added_up(printed) == ["5 models, 1,500 inferences, 1 differ", "9 s"]


def results(outcome, *figures):
    seen = Results()
    seen.outcomes["tests/a.py::test_b"] = [outcome]
    seen.figures["tests/a.py::test_b"] = list(figures)
    return seen


@pytest.mark.parametrize(
    "seen, test, holds",
    [
        (results("passed", "256 bytes a minute"), "tests/a.py::test_b", True),
        (results("passed", "256 bytes a minute"), "tests/a.py", True),
        (results("passed", "300 bytes a minute"), "tests/a.py", False),
        (results("passed"), "tests/a.py", False),
        (results("failed", "256 bytes a minute"), "tests/a.py", False),
        (results("skipped"), "tests/a.py", False),
        (results("passed", "256 bytes a minute"), "tests/other.py", False),
    ],
)
def test_a_claim_holds_when_its_tests_pass_and_print_its_figure(seen, test, holds):
    claim = Claim("README.md", "idle traffic", (test,), "256 bytes a minute")
    lines, it_holds = claims.report(claim, seen)
    assert it_holds is holds
    assert "README.md: idle traffic" in lines[0] and test in lines[1]
