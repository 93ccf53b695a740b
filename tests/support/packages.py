"""A package as installed, without installing it: its metadata in a folder on Python's path."""

import tomllib
from pathlib import Path


def install(folder: Path, target: Path) -> None:
    """Write the metadata, with the entry points, that `pip install -e folder` would, to `target`.

    `folder` has a `pyproject.toml`; both folders must be in Python's path.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
