import sys
from typing import Any

import pytest

from energybench.hardware import gpu_id
from energybench.meters.base import MeterUnavailable
from energybench.meters.nvml import NvmlMeter


def test_only_the_gpus_in_use_are_read(nvml: Any, fakes: Any) -> None:
    meter = NvmlMeter([fakes.A100])
    domain = f"gpu:{gpu_id(fakes.A100)}"
    assert meter.domains() == [domain]
    assert len(domain) == len("gpu:") + 12
    nvml.gpus[0].millijoules += 2_500
    nvml.gpus[1].millijoules += 9_999
    assert meter.read_joules() == {domain: 2.5}
    assert set(nvml.read) == {fakes.A100}


@pytest.mark.parametrize(
    "form", ["{0}", "8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-8932f", "8932F"]
)
def test_every_form_of_a_uuid_names_the_same_domain(nvml: Any, fakes: Any, form: str) -> None:
    meter = NvmlMeter([form.format(fakes.A100), fakes.A100])
    assert meter.domains() == [f"gpu:{gpu_id(fakes.A100)}"]


def test_an_ambiguous_or_unknown_uuid_is_refused(nvml: Any) -> None:
    with pytest.raises(MeterUnavailable, match="GPU-8932 names 2 GPUs"):
        NvmlMeter(["GPU-8932"])
    with pytest.raises(MeterUnavailable, match="NVML knows no GPU GPU-1234"):
        NvmlMeter(["GPU-1234"])
    assert nvml.sessions == 0, "a refused meter leaves NVML"


def test_no_gpu_in_use_asks_nvml_nothing(nvml: Any) -> None:
    with pytest.raises(MeterUnavailable, match="no GPU in use"):
        NvmlMeter([])
    assert nvml.read == []


@pytest.mark.parametrize(
    "uuid",
    [
        "MIG-5b2e3a06-7a9e-5c4e-8fd6-d6d9a5d1a4a1",
        "5b2e3a06-7a9e-5c4e-8fd6-d6d9a5d1a4a1",
        "GPU-8932f",
    ],
)
def test_mig_is_refused_however_it_is_named(nvml: Any, uuid: str) -> None:
    nvml.gpus[0].mig = True
    nvml.gpus[1].mig = False
    with pytest.raises(MeterUnavailable, match="MIG mode"):
        NvmlMeter([uuid])


def test_a_gpu_beside_one_in_mig_mode_is_read(nvml: Any, fakes: Any) -> None:
    nvml.gpus[0].mig = True
    assert NvmlMeter([fakes.OTHER]).domains() == [f"gpu:{gpu_id(fakes.OTHER)}"]


def test_a_lost_gpu_does_not_hide_the_others(nvml: Any, fakes: Any) -> None:
    nvml.gpus[0].lost = True
    assert NvmlMeter([fakes.OTHER]).read_joules() == {f"gpu:{gpu_id(fakes.OTHER)}": 0.0}


def test_a_gpu_without_counter_says_so(nvml: Any, fakes: Any) -> None:
    nvml.gpus[0].counts = False
    with pytest.raises(MeterUnavailable, match="has no energy counter"):
        NvmlMeter([fakes.A100])
    assert nvml.sessions == 0


def test_a_gpu_lost_while_measuring(nvml: Any, fakes: Any) -> None:
    meter = NvmlMeter([fakes.A100])
    nvml.gpus[0].lost = True
    with pytest.raises(MeterUnavailable, match="GPU is lost"):
        meter.read_joules()


def test_a_counter_that_starts_anew_is_refused(nvml: Any, fakes: Any) -> None:
    meter = NvmlMeter([fakes.A100])
    nvml.gpus[0].millijoules += 5_000
    meter.read_joules()
    nvml.gpus[0].millijoules -= 1
    with pytest.raises(MeterUnavailable, match="went backwards"):
        meter.read_joules()


def test_closing_twice_leaves_nvml_once(nvml: Any, fakes: Any) -> None:
    meter = NvmlMeter([fakes.A100])
    assert nvml.sessions == 1
    meter.close()
    meter.close()
    assert nvml.sessions == 0


def test_no_package_and_no_driver(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise nvml.NVMLError("Driver Not Loaded")

    nvml.nvmlInit = no_driver
    with pytest.raises(MeterUnavailable, match="no NVIDIA driver: Driver Not Loaded"):
        NvmlMeter(["GPU-8932f"])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterUnavailable, match="nvidia-ml-py is not installed"):
        NvmlMeter(["GPU-8932f"])
