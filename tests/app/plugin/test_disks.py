"""Sessions on disks that are full or read-only, which are mounted for them alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_slurm import fake_slurm
from support.sessions import command

from energybench.records.journal import Journal

MOUNT = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
QUICK = ("--energy-max-epochs=2", "--energy-tolerance=100", "--benchmark-json=run.json")


def on_a_disk(options: str, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run `command` where `folder` is a new disk, which nobody else sees and which ends with it."""
    folder.mkdir(exist_ok=True)
    own = ["unshare", "--mount", "sh", "-c", MOUNT, "sh", options, str(folder)]
    return subprocess.run([*own, *command], capture_output=True, text=True, timeout=300)


@pytest.fixture(autouse=True)
def may_mount(tmp_path: Path) -> None:
    try:
        done = on_a_disk("size=64k", tmp_path / "trial", "true")
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode:
        pytest.skip(f"may not mount a disk: {done.stderr.strip()}")


def test_a_full_disk_costs_the_journal_and_the_checkpoints_only(session: pytest.Pytester) -> None:
    disk = session.path / "disk"
    options = ("--energy-checkpoint", f"--energy-journal={disk / 'journal.jsonl'}")
    done = on_a_disk("size=4k", disk, sys.executable, "-m", "pytest", *QUICK, *options)
    assert "2 passed" in done.stdout, done.stdout
    assert "2 cells are not in the journal: cannot write the journal" in done.stdout
    assert "No space left on device" in done.stdout
    assert "energybench: no checkpoint of tiny stego in" in done.stdout
    data = json.loads((session.path / "run.json").read_text())
    assert len(data["benchmarks"]) == 2
    assert all(one["extra_info"]["kwh"] > 0 for one in data["benchmarks"])


def test_a_journal_on_a_disk_that_is_read_only_is_refused_at_once(session: pytest.Pytester) -> None:
    disk = session.path / "disk"
    options = ("--energy-checkpoint", f"--energy-journal={disk / 'journal.jsonl'}")
    done = on_a_disk("ro", disk, sys.executable, "-m", "pytest", *QUICK, *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("ERROR: "))
    assert "cannot write the journal" in line
    assert line.endswith("(Read-only file system); name another journal")


def test_a_cache_that_cannot_be_written_is_named(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = session.path / "disk"
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(disk))
    done = on_a_disk("ro", disk, sys.executable, "-m", "pytest", *QUICK)
    assert done.returncode != 0
    assert "set ENERGYBENCH_CACHE to a folder you can write to" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


def test_a_full_disk_leaves_every_line_of_the_journal_whole(tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy.jsonl"
    code = (
        "import shutil, sys\n"
        "from test_journal import entry\n"
        "from energybench.errors import UsageError\n"
        "from energybench.records.journal import Journal, Path\n"
        "journal = Journal(Path(sys.argv[1], 'journal.jsonl'))\n"
        "filler = Path(sys.argv[1], 'filler')\n"
        "filler.write_bytes(bytes(40_000))\n"
        "try:\n"
        "    for number in range(1000):\n"
        "        journal.append(entry(str(number)))\n"
        "except UsageError as error:\n"
        "    print(number, error)\n"
        "filler.unlink()\n"
        "journal.append(entry('after'))\n"
        "shutil.copy(journal.path, sys.argv[2])\n"
    )
    tests = Path(__file__).parents[2]
    command = (
        "env",
        f"PYTHONPATH={tests}:{tests / 'records'}",
        sys.executable,
        "-c",
        code,
        str(disk),
        str(copy),
    )
    done = on_a_disk("size=64k", disk, *command)
    assert done.returncode == 0, done.stderr
    written, _, error = done.stdout.partition(" ")
    assert "No space left on device" in error
    found = Journal(copy).read()
    assert found.damaged == ()
    assert [one.key for one in found.entries] == [*map(str, range(int(written))), "after"]
    assert int(written) >= 1


def test_a_run_folder_that_is_full_costs_no_cell_of_a_block(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    fake_slurm(session.path / "bin", monkeypatch)
    run = session.path / "run"
    matrix = ("test_bench.py", "--energy-max-epochs=2", "--energy-methods=baseline")
    assert command(session.path, "submit", f"--run={run}", "--", *matrix)[0] == 0
    block = (sys.executable, "-m", "energybench", "run-block", str(run), "0")
    done = on_a_disk("size=4k", run / "journal", *block)  # room for the start of a cell
    assert done.returncode == 1, done.stdout
    assert "1 cells are not in the journal" in done.stdout
    (rescued,) = (cache / "rescued").glob("*-0000-tiny-seed0.jsonl")
    assert f"cells of 0000-tiny-seed0 are in {rescued}; append it to {run}" in done.stderr
    (entry,) = Journal(rescued).read().entries
    assert (entry.record.method, entry.record.status) == ("baseline", "ok")
    (run / "journal" / "0000-tiny-seed0.jsonl").write_bytes(rescued.read_bytes())
    assert command(session.path, "run-block", str(run), "0", timeout=240.0)[0] == 0
    (kept,) = Journal(run / "journal" / "0000-tiny-seed0.jsonl").read().entries
    assert kept.record == entry.record, "it did not run again"
