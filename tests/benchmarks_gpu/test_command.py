"""The command `python -m benchmarks.gpu`: what it asks of a machine, and a rehearsed part."""

from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from benchmarks.gpu import needs
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.needs import WHEELS, findings


def test_the_parts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list("12345678")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--part", "9"], "there is no part '9'; --list names them"),
        (["--part", "1", "--minutes", "0"], "0 is not a number of minutes from 1 to 1440"),
        ([], "one of the arguments --list --check --part --rehearse --collect is required"),
    ],
)
def test_a_mistake_is_named(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_machine_without_a_gpu_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "gpu_count", lambda: 0)
    assert main(["--part", "1", "-o", str(tmp_path / "out")]) == 1
    assert "missing: PyTorch sees no GPU; --rehearse runs" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in ("mlxtend", "pydantic-core"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "pytest" else known(name)

    monkeypatch.setattr(needs, "version", version)
    fatal = [one.text for one in findings(tmp_path, rehearsal=True) if one.fatal]
    for start in (
        "mlxtend is missing, which energybench needs; carry the wheel mlxtend==",
        "energybench needs pytest>=9, and 0.1 is here; carry the wheel pytest==",
        "pydantic-core is missing, which pydantic needs; carry the wheel pydantic-core==",
    ):
        assert any(one.startswith(start) for one in fatal), fatal


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "gpu_count", lambda: 1)
    monkeypatch.setattr(needs, "FREE_GIB", 1e9)
    scratch = tmp_path / "not" / "there" / "yet"
    told = [one.text for one in findings(scratch, rehearsal=False) if one.fatal]
    assert any(one.startswith(f"{scratch} has ") and "name --scratch" in one for one in told)


def test_the_wheels_are_pinned_to_versions_that_the_project_takes() -> None:
    lines = [line for line in WHEELS.read_text().splitlines() if line and line[0] != "#"]
    listed = {one.name: one for one in map(Requirement, lines)}
    assert all(str(one.specifier).startswith("==") for one in listed.values())
    wanted = metadata.requires("energybench") or []
    for one in map(Requirement, wanted):
        if one.name in listed:
            (pinned,) = listed[one.name].specifier
            assert one.specifier.contains(pinned.version), one


def test_a_clone_that_is_not_installed_can_pretrain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of weights and journals need a version where no package says it."""
    from energybench import __version__
    from energybench.energy.machine import describe_machine
    from energybench.workloads.images.data.digits import Digits
    from energybench.workloads.images.networks import resnet18
    from energybench.workloads.images.weights.lookup import pretrained

    known = metadata.version

    def version(name: str) -> str:
        if name == "energybench":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert describe_machine().versions["energybench"] == __version__
    assert pretrained(resnet18, Digits(), None, torch.device("cpu")).path is not None
