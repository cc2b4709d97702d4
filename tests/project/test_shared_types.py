"""The types of the shared modules: they cost the board nothing, and mypy finds a wrong call."""

import ast
import subprocess
import sys

import pytest

from host_tools.shared_firmware import ROOT, SHARED
from host_tools.xtensa.compile import run_mpy_cross


class WithoutTypes(ast.NodeTransformer):
    """Leaves out annotations, and what stands under `if False:`."""

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        return ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else None

    def visit_If(self, node):
        is_for_types = isinstance(node.test, ast.Constant) and node.test.value is False
        return None if is_for_types else self.generic_visit(node)


def compiled(tree, folder):
    """The .mpy of a module without its line numbers."""
    path = folder / "module.py"
    path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
    return run_mpy_cross(path, "-march=xtensawin", "-O3")


@pytest.mark.parametrize("module", SHARED)
def test_types_cost_nothing_on_the_board(module, tmp_path):
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    bare = WithoutTypes().visit(ast.parse(source))
    assert compiled(ast.parse(source), tmp_path) == compiled(bare, tmp_path)


@pytest.mark.parametrize("module", SHARED)
def test_every_function_is_typed(module):
    """mypy checks the types; here, that there are some: a call from the host cannot be wrong
    unseen."""
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = [arg for arg in node.args.args if arg.arg not in ("self", "cls")]
            assert node.returns and all(arg.annotation for arg in arguments), node.name


WRONG = """
from firmware.satellite import config, protocol
from firmware.wakeword import model_format
from host_tools.board.answers import Levels

protocol.no_such_name(1, 2, 3)
model_format.check(7)
config.Config.defaults().no_such_field


def show(levels: Levels) -> None:
    levels["no_such_key"]
"""


def test_mypy_finds_a_wrong_use_of_each_seam(tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    options = ("--config-file", "pyproject.toml", "--cache-dir", str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(tmp_path / "wrong.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.rpartition("[")[2].rstrip("]") for line in found] == [
        *("attr-defined", "arg-type", "attr-defined", "typeddict-item"),
    ], done.stdout
