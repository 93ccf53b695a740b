"""The rules for contributed runs, and the runs in results/community/."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.contributions import MACHINE, complete, own, save_contribution, save_run
from support.saved_runs import failed, reading

from energybench.errors import UsageError
from energybench.records.record import Dataset, RunRecord
from energybench.records.saved import read_runs
from energybench.report.contribution import RULES, Verdict, judged, rule_table

ROOT = Path(__file__).parents[2]


def verdicts(path: str, fewer_seeds: bool = False) -> dict[str, Verdict]:
    (run,) = read_runs([path])
    return {rule.name: verdict for rule, verdict in judged(run, fewer_seeds)}


def failing(records: Sequence[RunRecord], folder: Path, **rest: Any) -> dict[str, str]:
    """Rule -> reason, of those that fail."""
    found = verdicts(save_run(folder / "run.json", records), **rest)
    return {name: reason for name, (passed, reason) in found.items() if not passed}


def test_a_run_that_keeps_every_rule_has_a_reason_for_each(tmp_path: Path) -> None:
    found = verdicts(save_run(tmp_path / "run.json", complete()))
    assert list(found) == [rule.name for rule in RULES]
    assert all(verdict.passed and verdict.reason for verdict in found.values())
    assert found["source"].reason == "rapl"
    assert found["versions"].reason == "Python 3.12.1, torch 2.13.0, energybench 0.1.0"


def phases(**changes: Any) -> dict[str, Any]:
    own_phases = {"compress": reading(0.0, 1.0, "rapl"), "finetune": reading(1.0, 9.0, "rapl")}
    return {"phases": own_phases | changes}


CONTAMINATED = replace(reading(1.0, 1.0, "rapl"), flags=["contaminated"])
CASES: dict[str, tuple[list[RunRecord], str, str]] = {
    "another seed": ([own("prune", 7)], "baseline", "no baseline of its seed: resnet18 prune se"),
    "no energy": ([own("stego", joules=None)], "source", "no energy, or no source of it: resnet18"),
    "replayed": ([own("stego", source="replay")], "source", "replayed from a file; measure it"),
    "unnamed": ([own("stego", source="")], "source", "no source of it: resnet18 stego seed 0"),
    "flagged": ([own("stego", changes={"flags": ["contaminated"]})], "clean", "contaminated: resn"),
    "search": ([own("stego", changes=phases(compress=CONTAMINATED))], "clean", "contaminated: res"),
    "cut": (
        [own("stego", changes={"status": "interrupted"})],
        "ended",
        "interrupted: resnet18 ste",
    ),
    "one seed": ([own("stego")], "seeds", "fewer than 5 in resnet18 stego (1); say so by --fewer"),
    "batch": ([own("stego", batch_size=8)], "protocol", "batch_size is 8, not 64; measure with"),
    "patience": (
        [own("stego", patience=9)],
        "protocol",
        "patience is 9, not 3; measure with the d",
    ),
    "data": ([own(dataset=Dataset("digits", "x"))], "protocol", "resnet18 has several settings;"),
    "other": ([own("stego", device_name="b", machine={**MACHINE, "cpu": "b"})], "machine", "2 mac"),
    "older": ([own("stego", machine={**MACHINE, "python": "3.11.1"})], "versions", "several versi"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_that_fails_names_the_cell_and_what_to_do(case: str, tmp_path: Path) -> None:
    more, rule, says = CASES[case]
    found = failing([*complete(), *more], tmp_path)
    assert says in found[rule]
    assert set(found) <= {rule, "seeds"}, "the cell is a lone seed, and breaks this rule"


def test_a_run_without_a_repetition_a_version_or_a_commit_fails(tmp_path: Path) -> None:
    assert set(failing(complete()[:-1], tmp_path)) == {"floor"}
    unknown = complete(machine={**MACHINE, "versions": {}})
    assert failing(unknown, tmp_path) == {
        "versions": "a version of Python, torch or energybench is missing"
    }
    empty = complete(machine={**MACHINE, "versions": {"torch": None, "energybench": ""}})
    assert set(failing(empty, tmp_path)) == {"versions"}
    nameless = complete(machine={**MACHINE, "cpu": "unknown"})
    assert "processor, cores or memory not named" in failing(nameless, tmp_path)["machine"]
    changed = verdicts(save_run(tmp_path / "run.json", complete(), dirty=True))["commit"]
    assert changed == Verdict(False, "0123456 with changes; commit them and measure again")


def test_contamination_of_what_is_in_no_saving_does_not_count(tmp_path: Path) -> None:
    records = complete(changes=phases(load=CONTAMINATED, evaluate=CONTAMINATED))
    assert failing(records, tmp_path) == {}


def test_a_failed_cell_stays(tmp_path: Path) -> None:
    records = [*complete(), replace(failed("stego"), machine=MACHINE, protocol=own().protocol)]
    assert failing(records, tmp_path) == {}


def test_fewer_seeds_are_said(tmp_path: Path) -> None:
    few = [own(seed=0), own("prune", 0, 600.0), own("baseline-again")]
    assert set(failing(few, tmp_path)) == {"seeds"}
    assert failing(few, tmp_path, fewer_seeds=True) == {}


def test_the_published_run_keeps_every_rule_but_the_one_on_seeds() -> None:
    found = verdicts(str(ROOT / "results" / "handwriting-cpu-2core.json"))
    assert [name for name, verdict in found.items() if not verdict.passed] == ["seeds"]


def test_the_manual_has_the_list_of_rules() -> None:
    text = (ROOT / "docs" / "contributing-results.md").read_text(encoding="utf-8")
    table = text.partition("<!-- rules -->")[2].partition("<!-- /rules -->")[0]
    assert table.strip() == rule_table(), "paste what rule_table() returns between the markers"


def problems(folder: Path) -> list[str]:
    """A line per file of a folder of contributions that does not belong there, or breaks a rule."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name == "README.md":
            continue
        try:
            (run,) = read_runs([str(path)])
        except UsageError as error:
            found.append(str(error))
            continue
        if run.contribution is None:
            found.append(f"{path}: not signed off")
        found += [f"{path}: {one.name}: {why}" for one, (kept, why) in judged(run) if not kept]
    return found


def test_every_file_of_the_community_keeps_the_rules() -> None:
    folder = ROOT / "results" / "community"
    assert (folder / "README.md").is_file()
    assert problems(folder) == []


def test_what_does_not_belong_to_the_community_is_found(tmp_path: Path) -> None:
    save_contribution(tmp_path / "good.json", complete())
    assert problems(tmp_path) == []
    save_run(tmp_path / "a-unsigned.json", complete())
    save_contribution(tmp_path / "b-broken.json", complete()[:-1])
    (tmp_path / "c-tampered.json").write_text(
        (tmp_path / "good.json").read_text().replace("1010.0", "1001.0")
    )
    (tmp_path / "d-notes.txt").write_text("notes")
    unsigned, broken, tampered, other = problems(tmp_path)
    assert unsigned.endswith("a-unsigned.json: not signed off")
    assert "b-broken.json: floor: no baseline was repeated" in broken
    assert "c-tampered.json was changed after Ada Lovelace signed it off" in tampered
    assert "d-notes.txt is not JSON" in other
