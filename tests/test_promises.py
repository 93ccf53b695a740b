"""The table of promises in `tests/README.md` names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """The cells of each row, without the heading."""
    lines = (TESTS / "README.md").read_text(encoding="utf-8").splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return table[2:]


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in functions if name.startswith("test_")}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_named_test_exists(row: list[str]) -> None:
    assert len(row) == 3, "promise | fault | tests"
    named = NAMED.findall(row[2])
    assert named or "tox run" in row[2], "no test is named"
    for file, test in named:
        assert (TESTS / file).is_file(), f"tests/{file} does not exist"
        found = functions_in(TESTS / file)
        assert test in found if test else found, f"tests/{file} has no {test or 'test'}"


def test_the_table_has_rows() -> None:
    assert len(rows()) > 30
