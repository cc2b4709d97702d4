"""The types of the shared modules cost the board nothing: the same .mpy without them."""

import ast

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
