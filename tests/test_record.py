import json
from typing import Any

import pytest

from energybench.errors import UsageError
from energybench.record import (
    SCHEMA_VERSION,
    CompressionReport,
    EnergyReading,
    EpochRecord,
    HeldOutTest,
    RunRecord,
    from_json,
)


def reading(joules: float | None = 360.0) -> EnergyReading:
    return EnergyReading(2.0, {"gpu:0": joules, "cpu:0": 40.0}, {"gpu:0": "nvml_counter"})


def record(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "model": "resnet18",
        "method": "stego",
        "seed": 0,
        "dataset": {"name": "digits"},
        "weights": {"source": "here"},
        "protocol": {"pue": 1.5, "tolerance_pp": 1.0},
        "machine": {},
        "phases": {"compress": reading(200.0), "finetune": reading()},
        "epochs": [EpochRecord(1, 0.5, 0.4, 0.9, 7, 448, 1.0, 50.0, 448.0, None)],
        "best_epoch": 1,
        "compression": CompressionReport("stego", {"bits": 8}, 0.25, 0.9, 0.89, [(8, 0.89)]),
        "test": HeldOutTest(0.89, 89, 100, [1, 2, 3]),
        "reference_accuracy": 0.9,
        "reference_correct": 90,
    }
    return RunRecord(**{**fields, **changes})


def test_json_and_back() -> None:
    original = record()
    again = from_json(json.loads(json.dumps(original.to_json())))
    assert again.to_json() == original.to_json()
    assert again.kwh == original.kwh


def test_headline_keys_and_units() -> None:
    headline = record().headline()
    assert headline["kwh"] == pytest.approx(400 * 1.5 / 3.6e6)
    assert headline["kwh_total"] == pytest.approx(640 * 1.5 / 3.6e6)
    assert headline["accuracy_drop_pp"] == pytest.approx(1.0)
    assert headline["within_tolerance"] is True
    assert headline["epochs"] == 1
    assert headline["compression_rate"] == 0.25
    assert headline["energy_source"] == "nvml_counter"


def test_the_drop_is_compared_without_rounding_noise() -> None:
    assert record(reference_accuracy=0.9).within_tolerance is True  # 0.9 - 0.89 > 0.01 in floats
    assert record(reference_accuracy=0.9001).within_tolerance is False
    assert record(reference_accuracy=None).within_tolerance is None


def test_energy_that_was_not_read_is_none_never_zero() -> None:
    nothing = EnergyReading(2.0, {}, {}, unavailable={"nvml": "no GPU in use"})
    assert nothing.it_joules is None
    assert nothing.watts is None
    assert record(phases={"compress": nothing, "finetune": nothing}).kwh is None
    assert record(phases={"compress": nothing, "finetune": reading()}).kwh_total is None
    assert record(phases={}).kwh is None
    half = EnergyReading(2.0, {"gpu:0": None, "cpu:0": 40.0}, {"cpu:0": "rapl"})
    assert half.it_joules is None  # the CPU alone would look like a saving


def test_a_newer_record_is_refused_with_what_to_do() -> None:
    newer = record().to_json() | {"schema_version": SCHEMA_VERSION + 1}
    with pytest.raises(UsageError, match="upgrade energybench"):
        from_json(newer)


@pytest.mark.parametrize("data", [None, [], {}, {"schema_version": "1"}, {"schema_version": 0}])
def test_what_is_not_a_record_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="record it again"):
        from_json(data)


def test_a_record_with_a_wrong_field_names_it() -> None:
    broken = record().to_json()
    broken["epochs"][0]["steps"] = "many"
    with pytest.raises(UsageError, match=r"epochs\.0\.steps"):
        from_json(broken)
