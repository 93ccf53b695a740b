"""The one JSON of a part, made of its journal and its file of finished tests."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu import progress
from benchmarks.gpu.parts import Part

LIMIT = 15 * 2**20
"""Bytes that the JSON has at most."""


def files_of(part: Part, folder: Path) -> dict[str, Path]:
    """Return the files of a part: its `json`, its `cells`, its finished tests and its `log`."""
    names = {"json": ".json", "cells": ".cells.jsonl", "tests": ".tests.jsonl", "log": ".log"}
    return {name: folder / f"{part.label}{suffix}" for name, suffix in names.items()}


def collect(part: Part, folder: Path) -> progress.Progress:
    """Write the JSON of `part` anew from what is in `folder`, and return what it has done.

    Cells are as `energybench export` writes them, steps and throughputs as pytest-benchmark does,
    and checks stand beside the records. Raises `UsageError` where the file cannot be written.
    """
    from energybench.files import publish
    from energybench.records.studies import KEY

    files = files_of(part, folder)
    found = progress.read(files["tests"])
    data = _cells(files["cells"])
    lines = _newest(found.done.values())
    entries = [line["benchmark"] for line in lines if line.get("benchmark")]
    data["benchmarks"] += [one for one in entries if KEY in one.get("extra_info", {})]
    data["energybench"]["studies"] = [*_checks(part, data, lines, found)]
    text = _within_limit(data)
    publish(files["json"], lambda path: path.write_text(text), "free some space there")
    return found


def _newest(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last line of each test on each device: other versions measured it before."""
    found: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for line in lines:
        found[line["step"], line["test"], _device_of(line)] = line
    return list(found.values())


def _device_of(line: dict[str, Any]) -> str | None:
    """Return the name of the device that a test measured; None for a test that found nothing."""
    extra = (line.get("benchmark") or {}).get("extra_info", {})
    studies = [extra.get("energybench_study", {}), *line.get("checks", ())]
    return next((one["device_name"] for one in studies if "device_name" in one), None)


def _cells(path: Path) -> dict[str, Any]:
    from importlib.metadata import version

    from pytest_benchmark.utils import get_commit_info

    from energybench.records.export import benchmark_json, without_cells
    from energybench.records.journal import Journal

    entries = list(Journal(path).read().counted.values()) if path.exists() else []
    make = benchmark_json if entries else lambda _, number: without_cells(number)
    return make(entries, version("pytest-benchmark")) | {"commit_info": get_commit_info()}


def _checks(
    part: Part, data: dict[str, Any], lines: list[dict[str, Any]], found: progress.Progress
) -> Iterator[dict[str, Any]]:
    """Yield the checks of the tests, then what could not be asked, and what is left.

    A cell that failed is not among them: its record says why.
    """
    from dataclasses import asdict

    from energybench.records.studies import Check

    device = _device(data, lines)
    for line in lines:
        checks = line.get("checks", ())
        yield from checks
        why, failed = line.get("why"), line["outcome"] == "failed"
        told_already = line["cell"] if failed else bool(checks)
        told_already = told_already or any(one["held"] is False for one in checks)
        if why and not told_already:
            name = line["test"].rpartition("::")[2]
            told = {"found": why, "held": False} if failed else {"reason": why}
            yield asdict(Check(name=name, device_name=device, **told))
    for step, why in found.left_out.items():
        yield asdict(Check(name=f"part {part.label}, {step}", device_name=device, reason=why))
    left, asked = len(found.left), len(found.asked_for)
    reason = f"{left} are left for the next run" if left else ""
    count = f"{asked - left} of {asked}"
    yield asdict(Check(f"part {part.label}, finished tests", device, count, reason=reason))


def _device(data: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """Return the device's name as the other contents of the part give it."""
    from energybench.energy.machine import describe_machine

    names = [name for name in map(_device_of, lines) if name is not None]
    records = (one["extra_info"].get("energybench", {}) for one in data["benchmarks"])
    names += [one["protocol"]["device_name"] for one in records if one]
    if names:
        return str(names[-1])
    machine = describe_machine()
    return str(machine.gpus[0]["name"] if machine.gpus else machine.cpu)


def _within_limit(data: dict[str, Any]) -> str:
    """Return the JSON; benchmarks beyond the limit stay in the journal alone, and it says so."""
    text = json.dumps(data)
    left_out = 0
    while len(text.encode()) > LIMIT and data["benchmarks"]:
        left_out += len(data["benchmarks"][-10:])
        del data["benchmarks"][-10:]
        text = json.dumps(data | {"left_out": left_out})
    return text
