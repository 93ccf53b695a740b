"""Properties of cells in JUnit's XML, as CI systems read it."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

FOREIGN = """
def test_plain():
    pass

def test_timed(benchmark):
    benchmark(sum, [])
"""


def test_each_cell_has_its_properties_and_no_other_test_has_any(session: pytest.Pytester) -> None:
    session.makepyfile(test_foreign=FOREIGN)
    result = session.runpytest_subprocess(
        "--junitxml=junit.xml", "--energy-max-epochs=1", "--energy-tolerance=100"
    )
    result.assert_outcomes(passed=4)
    tree = ElementTree.parse(Path(session.path, "junit.xml"))
    found = {
        case.attrib["name"]: {
            one.attrib["name"]: one.attrib["value"] for one in case.iter("property")
        }
        for case in tree.iter("testcase")
    }
    assert found.pop("test_plain") == found.pop("test_timed") == {}
    baseline, stego = (cell for _, cell in sorted(found.items()))
    for cell in (baseline, stego):
        assert float(cell["kwh_total"]) >= float(cell["kwh"]) > 0.0
        assert float(cell["duration_s"]) > 0.0
        assert 0.0 <= float(cell["accuracy"]) <= 1.0
        assert (cell["epochs"], cell["energy_source"], cell["status"]) == ("1", "replay", "ok")
    assert "saving" not in baseline
    assert float(stego["saving"]) == pytest.approx(
        1.0 - float(stego["kwh"]) / float(baseline["kwh"])
    )
    drop = 100.0 * (float(baseline["accuracy"]) - float(stego["accuracy"]))
    assert float(stego["drop"]) == pytest.approx(drop)
    assert stego["drop_unit"] == "pp"
