"""Records side by side that differ in the watts they assume, or in their arithmetic."""

from dataclasses import replace
from pathlib import Path

from support.saved_runs import ASSUMED, cell, estimated, save

from energybench.records.record import RunRecord
from energybench.records.saved import read_runs
from energybench.report.caveats import caveats
from energybench.report.comparison import compare
from energybench.report.gate import judge, parse_limits
from energybench.report.savings import savings
from energybench.report.sections import sections

OTHER = replace(ASSUMED, ram_watts=10.0)
DECLARED = replace(ASSUMED, processor_known=None, cpu_threads=None, declared=("cpu",))


def run(assumed: object = ASSUMED, source: str = "codecarbon_estimate") -> list[RunRecord]:
    return [
        estimated(assumed=assumed, source=source),  # type: ignore[arg-type]
        estimated("stego", cpu=200.0, assumed=assumed, source=source),  # type: ignore[arg-type]
    ]


def watts_notes(notes: tuple[str, ...]) -> list[str]:
    return [note for note in notes if "unlike watts" in note]


def test_a_saving_against_a_baseline_of_other_watts_says_so(tmp_path: Path) -> None:
    records = [estimated(), estimated("stego", assumed=OTHER)]
    (saving,) = savings(records)
    assert saving.energy is not None
    assert "estimated with other watts than its baseline" in saving.flags
    (note,) = watts_notes(compare({"this": records}).notes)
    assert note == f"estimates of this with unlike watts in 1 cell: {OTHER} | its baseline by " + (
        str(ASSUMED)
    )
    (section,) = sections(read_runs([save(tmp_path / "run.json", records)]))
    assert f"estimates with unlike watts: {OTHER} | the baseline by {ASSUMED}" in caveats(section)
    (saving,) = savings(run())
    assert saving.flags == ()
    assert watts_notes(compare({"this": run()}).notes) == []


def test_runs_of_other_watts_are_compared_with_a_note() -> None:
    found = compare({"old": run(), "new": run(OTHER)})
    assert found.rows[0].columns["new"].ratio is not None
    (note,) = watts_notes(found.notes)
    assert note == (
        f"estimates with unlike watts in 2 cells: the first run by {ASSUMED} | new by {OTHER}"
    )
    (note,) = watts_notes(compare({"old": run(None), "new": run()}).notes)
    assert "the first run by watts not recorded | new by codecarbon 3.3.2" in note
    assert watts_notes(compare({"old": run(None), "new": run(None)}).notes) == []


def test_declared_watts_are_another_source_and_not_compared() -> None:
    found = compare({"old": run(), "new": run(DECLARED, "declared_estimate")})
    assert found.rows[0].columns["new"].ratio is None
    assert any("read by codecarbon_estimate in the first run" in note for note in found.notes)
    assert str(DECLARED) in watts_notes(found.notes)[0]


def test_a_limit_that_compares_other_watts_says_so() -> None:
    limits = parse_limits("kwh:5%,duration:5%")
    verdict = judge(compare({"old": run(), "new": run(OTHER)}), limits)
    assert verdict.unknown == (
        f"kwh:5% compares estimates with unlike watts: {ASSUMED} | now {OTHER}",
    )
    assert judge(compare({"old": run(), "new": run()}), limits).unknown == ()


def test_a_row_of_several_arithmetics_names_them(tmp_path: Path) -> None:
    def records(*precisions: str) -> list[RunRecord]:
        return [
            one
            for seed, name in enumerate(precisions)
            for one in (
                cell(seed=seed, changes={"precision": "tf32"}),
                cell("stego", seed, changes={"precision": name}),
            )
        ]

    mixed = records("bf16", "tf32", "bf16")
    told = "bf16 (seeds 0, 2), tf32 (seed 1)"
    (saving,) = savings(mixed)
    assert saving.flags == (f"several arithmetics: {told}",)
    assert compare({"this": mixed}).notes == (
        f"several arithmetics in this: resnet18 stego: {told}",
    )
    (section,) = sections(read_runs([save(tmp_path / "run.json", mixed)]))
    assert f"several arithmetics in one row: resnet18 stego: {told}" in caveats(section)
    assert savings(records("bf16", "bf16"))[0].flags == ()
    found = compare({"old": records("bf16"), "new": records("tf32")})
    assert found.notes == (
        "unlike arithmetics: resnet18 stego: bf16 in the first run, tf32 in new",
    )
    asked = [replace(one, protocol=replace(one.protocol, precision="tf32")) for one in mixed[:2]]
    found = compare({"old": records("bf16"), "new": asked}, across=("precision",))
    assert not any("unlike" in note for note in found.notes), "the user lets it differ"
