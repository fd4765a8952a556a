"""Rules of the code base that no linter knows: names that say something, few modules at the top, plain signatures."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny import ROOT

PACKAGE = ROOT / "unlearn_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))
FILLERS = {"found", "told", "known", "said", "one", "what", "there", "place", "made", "kept", "asked"}
PARTICIPLES = {"Asked", "Chosen", "Found", "Made", "Opened"}
TOP_LEVEL = {"__init__.py", "__main__.py", "console.py", "errors.py", "ranks.py"}


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield functions, classes, parameters, and assigned local names; not the fields of a class: they are keys."""
    fields = {
        id(statement.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.lineno, node.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_name_is_a_filler(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    refused = FILLERS | PARTICIPLES
    assert [f"{line}: {name}" for line, name in defined_names(tree) if name.strip("_") in refused] == []


def test_the_top_level_is_small() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} <= TOP_LEVEL


def test_few_signatures_are_exempt_from_formatting() -> None:
    assert sum(path.read_text(encoding="utf-8").count("# fmt: skip") for path in MODULES) < 20
