import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.saved_runs import cell

from energybench.records.record import RunRecord
from energybench.report.factors import NAMES, factors, parts

cells = st.builds(
    cell,
    joules=st.floats(1e-3, 1e9),
    seconds=st.floats(1e-3, 1e6),
    epochs=st.integers(1, 60),
    steps=st.integers(1, 10_000),
)


@given(record=cells)
@settings(deadline=None)
def test_the_factors_multiply_to_the_energy(record: RunRecord) -> None:
    found = parts(record)
    assert found is not None
    assert math.prod(found.values()) == pytest.approx(record.phases["finetune"].it_joules, rel=1e-9)


@given(pairs=st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
@settings(deadline=None)
def test_logs_add_up_to_the_log_ratio_and_shares_to_one(
    pairs: list[tuple[RunRecord, RunRecord]],
) -> None:
    found = factors(pairs)
    assert found is not None
    logs = []
    for ours, theirs in pairs:
        assert ours.kwh is not None
        assert theirs.kwh is not None
        logs.append(math.log(ours.kwh / theirs.kwh))
    ratio = math.fsum(logs) / len(logs)
    assert math.fsum(found.logs.values()) == pytest.approx(ratio, abs=1e-9)
    assert found.log_ratio == pytest.approx(ratio, abs=1e-9)
    if found.shares is not None and abs(ratio) > 1e-6:
        assert math.fsum(found.shares.values()) == pytest.approx(1.0, abs=1e-9)
        assert math.fsum(share * ratio for share in found.shares.values()) == pytest.approx(
            ratio, abs=1e-9
        )


def test_each_factor_by_itself() -> None:
    base = cell(joules=1000.0, seconds=10.0, epochs=4, steps=7)
    assert parts(base) == dict(zip(NAMES, (4.0, 7.0, 10.0 / 28, 100.0), strict=True))
    longer = cell(joules=2000.0, seconds=20.0, epochs=8)
    found = factors([(longer, base)])
    assert found is not None
    assert found.ratios == pytest.approx(
        {"epochs": 2.0, "steps per epoch": 1.0, "seconds per step": 1.0, "watts": 1.0}
    )
    assert found.shares == pytest.approx(
        {"epochs": 1.0, "steps per epoch": 0.0, "seconds per step": 0.0, "watts": 0.0}
    )


def test_a_ratio_near_one_has_no_shares() -> None:
    """The shares were 178526 % and more; only the factors themselves say something."""
    base = cell(joules=1000.0, seconds=10.0, epochs=4)
    near = cell(joules=1000.1, seconds=9.0, epochs=5)
    found = factors([(near, base)])
    assert found is not None
    assert found.shares is None
    assert found.texts == ["1.25", "1.00", "0.72", "1.11"]
    clear = factors([(cell(joules=800.0), base)])
    assert clear is not None
    assert clear.texts[-1] == "0.80 (100 %)"


def test_shares_wait_for_an_interval_that_excludes_one() -> None:
    def shares(*joules: float) -> dict[str, float] | None:
        pairs = [(cell(seed=i, joules=j), cell(seed=i)) for i, j in enumerate(joules)]
        found = factors(pairs)
        assert found is not None
        return found.shares

    assert shares(700.0, 1300.0, 800.0, 950.0, 600.0) is None  # -17 % in the mean
    assert shares(950.0, 951.0, 952.0, 953.0, 954.0) is not None


def test_equal_energies_have_no_shares() -> None:
    found = factors([(cell(), cell())])
    assert found is not None
    assert found.log_ratio == 0.0
    assert found.shares is None


@pytest.mark.parametrize("unknown", [cell(joules=None), cell(joules=0.0), cell(epochs=0)])
def test_what_is_not_known_has_no_factors(unknown: RunRecord) -> None:
    assert parts(unknown) is None
    assert factors([(cell(), cell()), (unknown, cell())]) is None
    assert factors([]) is None
