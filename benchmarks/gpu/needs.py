"""What the parts need of a machine, found before anything is measured."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from benchmarks.gpu.parts import PARTS, Place, Step

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "pyproject.toml"
WHEELS = HERE / "wheels.txt"
OPTIONAL = {"zeus": "part 1", "timm": "part 3"}
"""Package -> the part that tells less without it."""
_WITH_THEIR_OWN = ("torch", "torchvision")
"""Packages whose own requirements belong to the image."""
COMPILER = "CXX"
"""Variable that names a compiler."""
FREE_GIB = 6.0
"""Space that photographs, their cache and pretrained weights take, in GiB."""


@dataclass(frozen=True)
class Finding:
    """One line about the machine."""

    text: str
    fatal: bool
    """Whether nothing can run before it is mended."""


def missing_for(step: Step) -> str | None:
    """Return why `step` cannot run on this machine, in one line; None where it can."""
    missing = [name for name in step.needs if _version(name) is None]
    if missing:
        return f"it needs {' and '.join(missing)}; carry the wheels, see {WHEELS.name}"
    if step.compiles and not any(map(shutil.which, compilers())):
        return f"torch.compile needs a compiler; install g++, or name one in {COMPILER}"
    if step.gpus and gpu_count() < step.gpus:
        return f"it needs {step.gpus} GPUs, and PyTorch sees {gpu_count()}"
    return None


def compilers() -> list[str]:
    """Return the compilers that PyTorch would look for."""
    named = os.environ.get(COMPILER)
    return [named] if named else ["g++", "gcc", "clang++", "clang", "cc"]


@cache
def gpu_count() -> int:
    """Return the number of GPUs that PyTorch sees, asked in a process that ends again."""
    code = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0


def findings(scratch: Path, rehearsal: bool) -> Iterator[Finding]:
    """Yield a line for everything that is missing here, the fatal ones first.

    A rehearsal needs no GPU and little space.
    """
    yield from _packages()
    if rehearsal:
        return
    if gpu_count() == 0:
        yield Finding("PyTorch sees no GPU; --rehearse runs everything small on a CPU", True)
    free = shutil.disk_usage(_existing(scratch)).free / 2**30
    if free < FREE_GIB:
        text = f"{scratch} has {free:.1f} GiB free and {FREE_GIB:g} are needed; name --scratch"
        yield Finding(text, True)
    place = Place(scratch, rehearsal)
    for part in PARTS:
        for step in part.steps(place):
            why = missing_for(step)
            if why is not None:
                yield Finding(f"part {part.label}: {step.name} is left out: {why}", False)


def _packages() -> Iterator[Finding]:
    """Yield a line per package that is missing or too old, with what needs it."""
    try:
        import packaging.requirements  # noqa: F401 - pytest needs it too
    except ImportError:
        yield Finding("packaging is missing, and pytest with it; carry their wheels", True)
        return
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = project["requires-python"]
    if not _satisfies(".".join(map(str, sys.version_info[:3])), wanted):
        yield Finding(f"this is Python {sys.version.split()[0]}; take one {wanted}", True)
    yield from _required(project["dependencies"], "energybench", set())
    for name, where in OPTIONAL.items():
        if _version(name) is None:
            yield Finding(f"{name} is missing: {where} tells less{_wheel(name)}", False)


def _required(requirements: list[str], by: str, seen: set[str]) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    for text in requirements:
        one = Requirement(text)
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        name = _plain(one.name)
        if name in seen:
            continue
        seen.add(name)
        found = _version(name)
        if found is None:
            yield Finding(f"{name} is missing, which {by} needs{_wheel(name)}", True)
        elif not one.specifier.contains(found, prereleases=True):
            yield Finding(f"{by} needs {one}, and {found} is here{_wheel(name)}", True)
        elif name not in _WITH_THEIR_OWN:
            yield from _required(distribution(name).requires or [], name, seen)


def _satisfies(found: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _wheel(name: str) -> str:
    """Return the advice to carry the wheel of `name`, as it is listed."""
    lines = WHEELS.read_text(encoding="utf-8").splitlines()
    listed = [line.split("#")[0].strip() for line in lines]
    own = [one for one in listed if _plain(one.partition("==")[0]) == name]
    return f"; carry the wheel {own[0]}" if own else "; carry its wheel"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
