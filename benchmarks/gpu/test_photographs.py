"""Train on a folder of photographs: how long does the device wait for them?

    python -m benchmarks.gpu --part 5

The options name the folder, the weights and the cache of decoded images, or `off`.
"""

import pytest

METHODS = ("baseline", "baseline-bf16")
"""Full and fast arithmetic: the faster the device, the longer it waits."""


@pytest.mark.energy_matrix(models=["resnet50"], methods=METHODS)
def test_photographs(cell, energy_cell, check, pytestconfig):
    """Note the share of the training time in which the device waited for images."""
    record = energy_cell(cell)
    cached = pytestconfig.getoption("--energy-data-cache") != "off"
    share, rate = record.data_wait_share, record.items_per_s
    where = f"{cell.model} {cell.method}, cache {'on' if cached else 'off'}"
    told = "not known" if share is None else f"{100 * share:.1f} %"
    check(f"{where}: training spent waiting for images", told, share=share)
    check(f"{where}: images per second", f"{rate:.0f}", items_per_s=rate)
