import json
from pathlib import Path
from typing import Any

import pytest
from support.replay import FIFTY_JOULES

from energybench.energy.meters.base import MeterContext
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.source import Source
from energybench.errors import UsageError


def trace(folder: Path, data: Any) -> str:
    path = folder / "trace.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def test_steps_are_played_one_per_read_and_are_no_measurement() -> None:
    meter = ReplayMeter(FIFTY_JOULES)
    assert meter.domains() == {"cpu:0": Source("replay", "replayed")}
    assert [meter.read_joules()["cpu:0"] for _ in range(4)] == [0, 50, 100, 150]


def test_without_a_trace_nothing_is_invented() -> None:
    with pytest.raises(UsageError, match="plays a trace file; name one as `replay`"):
        ReplayMeter.open(MeterContext())


def test_a_list_goes_on_with_its_last_increment(tmp_path: Path) -> None:
    path = trace(tmp_path, {"domains": {"gpu:0": [0, 12.5, 30], "cpu:0": [1, 2]}})
    meter = ReplayMeter.from_file(path)
    assert [tuple(meter.read_joules().values()) for _ in range(5)] == [
        (0, 1),
        (12.5, 2),
        (30, 3),
        (47.5, 4),
        (65, 5),
    ]
    assert ReplayMeter.from_file(path).read_joules() == {"gpu:0": 0, "cpu:0": 1}, "each starts anew"


def test_constant_power(tmp_path: Path) -> None:
    meter = ReplayMeter.from_file(
        trace(tmp_path, {"watts": {"gpu:0": 200}, "seconds_per_read": 0.5})
    )
    assert [meter.read_joules()["gpu:0"] for _ in range(3)] == [0, 100, 200]


def test_the_trace_of_a_record(tmp_path: Path) -> None:
    """Mean watts up to each time, one sample per read."""
    data = {"time_s": [2, 3, 3.5], "watts": {"gpu:0": [100, 300, 200]}, "marks": {"load": 0}}
    meter = ReplayMeter.from_file(trace(tmp_path, data))
    assert [meter.read_joules()["gpu:0"] for _ in range(5)] == [0, 200, 500, 600, 700]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"time_s": [1, 2]}, '"time_s" needs "watts"'),
        ({"time_s": [1, 2], "watts": {"gpu:0": [1]}}, "gpu:0 needs 2 watts"),
        ({"time_s": [1, 2], "watts": {"gpu:0": [1, None]}}, "gpu:0 has None"),
        ({"time_s": [2, 1], "watts": {"gpu:0": [1, 1]}}, "gpu:0 decreases"),
        ("{", "is not a trace"),
        ("[1, 2]", 'neither "domains" nor "watts"'),
        ({}, 'neither "domains" nor "watts"'),
        ({"domains": {}}, "names no domain"),
        ({"domains": {"gpu:0": 3}}, "gpu:0 needs a list of two or more"),
        ({"domains": {"gpu:0": [1]}}, "gpu:0 needs a list of two or more"),
        ({"domains": {"gpu:0": [3, 2]}}, "gpu:0 decreases"),
        ({"domains": {"gpu:0": [0, "1"]}}, "gpu:0 has '1'"),
        ({"domains": {"gpu:0": [0, True]}}, "gpu:0 has True"),
        ('{"domains": {"gpu:0": [0, NaN]}}', "gpu:0 has nan"),
        ({"watts": {"gpu:0": -1}}, "gpu:0 has -1"),
        ({"watts": {"gpu:0": 1}, "seconds_per_read": None}, "seconds_per_read has None"),
    ],
)
def test_a_bad_trace_is_one_line(tmp_path: Path, data: Any, says: str) -> None:
    path = trace(tmp_path, data)
    with pytest.raises(UsageError) as caught:
        ReplayMeter.from_file(path)
    message = str(caught.value)
    assert path in message
    assert says in message
    assert "\n" not in message


def test_bytes_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the trace nothing\.json: No such file"):
        ReplayMeter.from_file("nothing.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not a trace"):
        ReplayMeter.from_file(str(tmp_path / "binary"))
