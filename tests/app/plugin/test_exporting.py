"""`--energy-export` in sessions: a file for node_exporter, a folder that is not there."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from energybench.records.journal import Journal

SUITE = """
import pytest


@pytest.mark.energy_matrix(models=["tiny"], methods=["baseline", "stego"])
def test_finetune(cell, energy_cell):
    energy_cell(cell)


def test_sum(benchmark, energy):
    energy(benchmark, sum, range(100))
"""


def families(text: str) -> dict[str, list[dict[str, str]]]:
    """Family -> the labels of its samples."""
    return {
        family.name: [sample.labels for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_cells_and_calls_are_in_the_file_and_a_target_that_fails_fails_no_test(
    session: pytest.Pytester,
) -> None:
    session.makepyfile(test_bench=SUITE)
    result = session.runpytest_subprocess(
        "--energy-export=prometheus:cells.prom",
        "--energy-export=prometheus:none/cells.prom",
        "--energy-max-epochs=1",
        "--energy-tolerance=100",
    )
    result.assert_outcomes(passed=3)
    found = families((session.path / "cells.prom").read_text())
    methods = sorted(labels["method"] for labels in found["energybench_cell_ok"])
    assert methods == ["baseline", "stego"]
    finetuned = [
        labels["source"]
        for labels in found["energybench_phase_energy_joules"]
        if labels["phase"] == "finetune"
    ]
    assert finetuned == ["replay", "replay"]
    assert [labels["metric"] for labels in found["energybench_cell_drop_ratio"]] == ["accuracy"] * 2
    assert found["energybench_call_energy_joules"] == [
        {"test": "test_bench.py::test_sum", "source": "replay"}
    ]
    output = result.stdout.str() + result.stderr.str()
    assert output.count("--energy-export=prometheus:none/cells.prom: cannot write") == 1
    kept = Journal(session.path / ".energybench" / "journal.jsonl").read().counted.values()
    assert sorted(one.record.method for one in kept) == ["baseline", "stego"]


def test_what_cannot_export_ends_the_session_in_one_line(session: pytest.Pytester) -> None:
    wrong = session.runpytest_inprocess("--energy-export=graphite")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["ERROR: --energy-export: unknown target 'graphite'; use *"])
    session.makepyfile(test_bench="def test_theirs(): pass")
    parallel = session.runpytest_subprocess("--energy-export=prometheus:a.prom", "-n", "1")
    assert parallel.ret == pytest.ExitCode.USAGE_ERROR
    parallel.stderr.fnmatch_lines(["ERROR: --energy-export is for one process; run without -n"])
