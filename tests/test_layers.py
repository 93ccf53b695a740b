"""Imports point down only; what pytest loads at collection stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import energybench

ROOT = Path(energybench.__file__).parent

# Highest layer last; a module may import from its own layer only within its own package.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "units", "registry", "cache", "progress", "vision", "quiet", "schema"),
    ("reading", "migrations", "device"),
    ("record", "config", "hardware", "lock", "matrix", "carbon", "stats", "study_records"),
    ("meters", "data", "models", "compression", "training"),
    ("loading", "failures", "baselines", "journal", "checkpoints", "launch", "together"),
    ("bench",),
    ("doctor", "capacities", "draft", "steps", "intensity", "batch_size", "opening"),
    ("inference",),
    ("cell", "report"),
    ("worker",),
    ("remote",),
    ("options",),
    ("plugin_ranks",),
    ("plugin", "cli_compare", "cli_journal", "cli_reports"),
    ("plugin_cell", "plugin_energy", "plugin_compare", "cli"),
)
SIBLINGS_ALLOWED = {
    ("training", "compression.base"),
    ("registry", "errors"),
    ("cache", "errors"),
    ("schema", "errors"),
    ("matrix", "config"),
    ("carbon", "record"),
}


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


def layer(module: str) -> int:
    top = module.split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if top in names)


@pytest.mark.parametrize(("module", "tree"), [pair for pair in modules() if pair[0]])
def test_imports_point_down(module: str, tree: ast.Module) -> None:
    for name in imports(tree):
        if not name.startswith("energybench."):
            continue
        target = name.removeprefix("energybench.")
        own, its = module.split(".")[0], target.split(".")[0]
        if own == its or (own, target) in SIBLINGS_ALLOWED:
            continue
        assert layer(target) < layer(module), f"energybench.{module} must not import {name}"


@pytest.mark.parametrize(("module", "tree"), list(modules()))
def test_only_its_own_layer_imports_a_library(module: str, tree: ast.Module) -> None:
    found = {name.split(".")[0] for name in imports(tree)}
    if not module.startswith("plugin"):
        assert not found & {"pytest", "pytest_benchmark"}
    if module != "vision":
        assert "torchvision" not in found, "import it through energybench.vision"
    if module.startswith("meters"):
        assert "torch" not in found


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
