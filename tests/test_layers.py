"""Which modules import which library; what pytest loads at collection stays light.

That imports point down is import-linter's to check, see `pyproject.toml`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import energybench

ROOT = Path(energybench.__file__).parent


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(("module", "tree"), list(modules()))
def test_only_its_own_layer_imports_a_library(module: str, tree: ast.Module) -> None:
    found = {name.split(".")[0] for name in imports(tree)}
    if module != "workloads.images.vision":
        assert "torchvision" not in found, "import it through energybench.workloads.images.vision"
    if module.startswith("energy."):
        assert "torch" not in found or module == "energy.diagnosis", (
            "energy is handed what it needs"
        )


def test_collection_imports_nothing_heavy(pytestconfig: pytest.Config) -> None:
    code = (
        "import sys, pytest\n"
        "status = pytest.main(['benchmarks/', '--collect-only', '-q'])\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'codecarbon', 'numpy'} & set(sys.modules)\n"
        "print('status', int(status), 'heavy', sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "test_finetune[resnet18-stego-seed0]" in done.stdout
    assert done.stdout.splitlines()[-1] == "status 0 heavy []"
