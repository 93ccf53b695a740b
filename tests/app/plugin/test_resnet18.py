"""The main job for real: the benchmark as it is, from an empty cache, with the machine's meters."""

import json
from pathlib import Path

import pytest

from energybench.records.record import from_json


def test_resnet18_is_pretrained_fine_tuned_and_compressed(
    pytester: pytest.Pytester,
    pytestconfig: pytest.Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))  # a measurement beside it may be long
    pytester.copy_example(str(pytestconfig.rootpath / "benchmarks" / "test_finetune.py"))
    result = pytester.runpytest_subprocess(
        "-k",
        "resnet18 and (baseline or stego) and not again",
        "--energy-dataset=digits",  # a third of the time of the default
        "--energy-max-epochs=3",
        "--energy-tolerance=4",  # other processors round otherwise: a point is some luck
        "--benchmark-json=out.json",
    )
    assert result.parseoutcomes()["passed"] == 2
    assert "failed" not in result.parseoutcomes()
    data = json.loads((pytester.path / "out.json").read_text())
    records = {
        record.method: record
        for record in (from_json(b["extra_info"]["energybench"]) for b in data["benchmarks"])
    }
    baseline, stego = records["baseline"], records["stego"]
    assert baseline.weights.test_value is not None
    assert baseline.weights.test_value >= 0.90
    assert baseline.value is not None
    assert baseline.value >= 0.93
    assert stego.within_tolerance
    assert stego.compression is not None
    assert stego.compression.settings["bits"] >= 8  # type: ignore[operator]
    for record in (baseline, stego):
        assert record.energy_source != "none"
        assert record.kwh is not None
        assert 0 < record.kwh < 1e-2
        assert record.parameters == 11_181_642  # 11,689,512 with a head of 10 classes
