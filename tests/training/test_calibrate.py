from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from support.scores import by_accuracy
from support.tiny_training import CPU, TASK
from torch import Tensor, nn

from energybench.compression.base import Baseline
from energybench.compression.stego import Stego
from energybench.config import FinetuneConfig
from energybench.energy.readings import EnergyReading
from energybench.errors import CellError
from energybench.training import calibrate as module
from energybench.training.calibrate import Calibration, calibrate
from energybench.training.plan import Finetuning

COUNTER, ESTIMATE = "nvml_counter", "codecarbon_estimate"


@dataclass
class Meter:
    """Windows whose readings depend on the arithmetic that is on; counts the steps in each."""

    seconds: dict[str, float]
    """Per step, by candidate."""
    joules: dict[str, float | None]
    source: str = COUNTER
    resolves_s: float = 0.0
    drift: float = 0.0
    """By which every window is slower than the one before."""
    disturbed: dict[int, float] = field(default_factory=dict)
    """Number of a window, from 0 and counting the warm-up -> factor on its seconds and joules."""
    windows: list[tuple[str, int]] = field(default_factory=list)
    """(candidate, steps), in order."""
    _steps: int = 0
    _candidate: str = ""

    def saw(self, *_: Any) -> None:
        """A forward pass in the arithmetic of now."""
        self._steps += 1
        self._candidate = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
        if torch.backends.cudnn.allow_tf32:
            self._candidate = "tf32"

    @contextmanager
    def window(self) -> Iterator[Any]:
        self._steps = 0
        closed = _Closed()
        yield closed
        self.windows.append((self._candidate, self._steps))
        slower = 1.0 + self.drift * len(self.windows)
        slower *= self.disturbed.get(len(self.windows) - 1, 1.0)
        duration = self.seconds[self._candidate] * self._steps * slower
        joules = self.joules[self._candidate]
        closed.reading = EnergyReading(
            duration,
            {} if self.source == "none" else {"gpu:0": joules and joules * self._steps * slower},
            {} if self.source == "none" else {"gpu:0": self.source},
            ["short_window"] if duration < self.resolves_s else [],
        )


class _Closed:
    reading: EnergyReading


def batches(count: int = 6, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % 2
    return [(torch.randn(size, 1, 2, 2, generator=draw), labels) for _ in range(count)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 2)
    )


def run(meter: Meter, **changes: Any) -> Finetuning:
    parts: dict[str, Any] = {
        "task": TASK,
        "train": batches(),
        "validation": [],
        "config": FinetuneConfig(),
        "seed": 0,
        "device": CPU,
        "precision": "fp32",
        "window": meter.window,
        "watch": lambda epoch: None,
    }
    return Finetuning(**{**parts, **changes})


def chosen(meter: Meter, *candidates: str, **changes: Any) -> Calibration:
    model = network()
    model.register_forward_pre_hook(meter.saw)
    options = {key: changes.pop(key) for key in ("rounds", "warm_up") if key in changes}
    return calibrate(model, Baseline(), candidates, run(meter, **changes), **options)


SECONDS = {"fp32": 0.3, "bf16": 0.2, "tf32": 0.1}
JOULES: dict[str, float | None] = {"fp32": 30.0, "bf16": 10.0, "tf32": 20.0}


def test_the_fewest_joules_per_step_win() -> None:
    found = chosen(Meter(SECONDS, JOULES), "fp32", "tf32", "bf16")
    assert (found.chosen, found.criterion, found.steps) == ("bf16", "joules_per_step", 6)
    for candidate, costs in found.candidates.items():
        assert costs["seconds_per_step"] == pytest.approx(SECONDS[candidate])
        assert costs["joules_per_step"] == pytest.approx(JOULES[candidate])


@pytest.mark.parametrize("source", [ESTIMATE, "none"])
def test_seconds_decide_where_joules_are_estimated_or_missing(source: str) -> None:
    meter = Meter(SECONDS, JOULES, source, resolves_s=100.0)
    found = chosen(meter, "fp32", "tf32", "bf16")
    assert (found.chosen, found.criterion) == ("tf32", "seconds_per_step")
    assert {steps for _, steps in meter.windows} == {1}, "an estimate's windows were lengthened"


def test_only_what_is_measured_is_weighed() -> None:
    """Beside a counter an estimate would weigh in for the fastest: it grows with time."""
    sources = {"gpu:0": COUNTER, "cpu:estimate": ESTIMATE}
    reading = EnergyReading(1.0, {"gpu:0": 7.0, "cpu:estimate": 90.0}, sources)
    assert module._measured_joules(reading) == 7.0
    unread = replace(reading, joules={"gpu:0": None, "cpu:estimate": 90.0})
    assert module._measured_joules(unread) is None
    estimated = EnergyReading(1.0, {"cpu:estimate": 90.0}, {"cpu:estimate": ESTIMATE})
    assert module._measured_joules(estimated) is None
    said = EnergyReading(1.0, {"w:0": 9.0}, {"w:0": "datasheet"}, kinds={"w:0": "estimated"})
    assert module._measured_joules(said) is None


def test_seconds_decide_where_a_reading_failed() -> None:
    found = chosen(Meter(SECONDS, {**JOULES, "fp32": None}), "fp32", "tf32", "bf16")
    assert (found.chosen, found.criterion) == ("tf32", "seconds_per_step")
    assert found.candidates["fp32"]["joules_per_step"] is None


def test_windows_are_lengthened_until_the_meter_resolves_them() -> None:
    meter = Meter(SECONDS, JOULES, resolves_s=0.7)
    found = chosen(meter, "fp32", "tf32", "bf16")
    assert (found.chosen, found.criterion) == ("bf16", "joules_per_step")
    assert found.steps == 6 * 8  # 0.1 s x 8
    assert [steps for _, steps in meter.windows][-18:] == [8] * 18


def test_seconds_decide_where_windows_would_be_too_long() -> None:
    meter = Meter(SECONDS, JOULES, resolves_s=60.0)
    found = chosen(meter, "fp32", "tf32", "bf16")
    assert (found.chosen, found.criterion) == ("tf32", "seconds_per_step")
    longest = max(SECONDS[candidate] * steps for candidate, steps in meter.windows)
    assert module.LONGEST_S / 2 < longest <= module.LONGEST_S


def test_rounds_go_to_and_fro_after_a_warm_up() -> None:
    meter = Meter(SECONDS, JOULES)
    chosen(meter, "fp32", "tf32", "bf16", warm_up=2)
    order = [candidate for candidate, _ in meter.windows]
    there, back = ["fp32", "tf32", "bf16"], ["bf16", "tf32", "fp32"]
    assert order == [*there, *(there + back) * 3]
    assert [steps for _, steps in meter.windows] == [2] * 3 + [1] * 18


@pytest.mark.parametrize("candidates", [("fp32", "bf16"), ("bf16", "fp32")])
def test_steady_drift_favours_none(candidates: tuple[str, ...]) -> None:
    """A machine that slows down by 5 % from window to window makes no candidate look cheaper."""
    cheaper: dict[str, float | None] = {"fp32": 10.0, "bf16": 9.0, "tf32": 1.0}
    assert chosen(Meter(SECONDS, cheaper, drift=0.05), *candidates).chosen == "bf16"
    same: dict[str, float | None] = {"fp32": 10.0, "bf16": 10.0, "tf32": 1.0}
    assert chosen(Meter(SECONDS, same, drift=0.05), *candidates).chosen == "fp32"


@pytest.mark.parametrize("rounds", [[3], [0, 1], [2, 5]])
def test_disturbed_rounds_do_not_make_the_dearer_one_look_cheaper(rounds: list[int]) -> None:
    """Another program is busy while fp32 takes its steps: once, twice in a row, twice apart."""
    dearer: dict[str, float | None] = {"fp32": 10.0, "bf16": 11.0}
    at = {2 + 2 * number + (number % 2 == 0): 4.0 for number in rounds}
    meter = Meter(SECONDS, dearer, disturbed=at)
    found = chosen(meter, "bf16", "fp32")
    assert [meter.windows[place][0] for place in at] == ["fp32"] * len(at)
    assert found.chosen == "fp32"
    assert found.rounds["bf16"] == [11.0] * 6
    assert sorted(found.rounds["fp32"]) == [10.0] * (6 - len(at)) + [40.0] * len(at)
    mean, upper = found.ratios["bf16"]
    assert upper > 1 > mean or mean > 1


def test_a_margin_is_asked_for() -> None:
    """What is cheaper by a hair costs another arithmetic for nothing."""
    hair: dict[str, float | None] = {"fp32": 10.0, "bf16": 9.9, "tf32": 1.0}
    found = chosen(Meter(SECONDS, hair), "bf16", "fp32")
    assert found.chosen == "fp32"
    assert found.ratios["bf16"] == pytest.approx([0.99, 0.99])
    clear: dict[str, float | None] = {"fp32": 10.0, "bf16": 9.7, "tf32": 1.0}
    assert chosen(Meter(SECONDS, clear), "bf16", "fp32").chosen == "bf16"


def test_a_run_in_another_arithmetic_keeps_its_own() -> None:
    nearly: dict[str, float | None] = {"fp32": 30.0, "bf16": 10.0, "tf32": 10.1}
    assert chosen(Meter(SECONDS, nearly), "bf16", "tf32", precision="tf32").chosen == "tf32"
    with pytest.raises(ValueError, match="tf32 is no candidate"):
        chosen(Meter(SECONDS, nearly), "bf16", "fp32", precision="tf32")


def test_one_candidate_is_not_run() -> None:
    def no_window() -> Any:
        raise AssertionError("a step was taken")

    found = calibrate(network(), Baseline(), ["bf16"], run(Meter({}, {}), window=no_window))
    assert found == Calibration("bf16", None, {}, 0)


def test_no_candidate_is_an_error() -> None:
    with pytest.raises(ValueError, match="candidate"):
        calibrate(network(), Baseline(), [], run(Meter({}, {})))


def test_a_tie_goes_to_the_runs_own_and_else_to_the_first() -> None:
    same = dict.fromkeys(SECONDS, 1.0)
    assert chosen(Meter(same, {**same}), "bf16", "fp32").chosen == "fp32"
    half: dict[str, float | None] = {**same, "fp32": 2.0}
    assert chosen(Meter(same, half), "bf16", "tf32", "fp32").chosen == "bf16"
    assert chosen(Meter(same, half), "tf32", "bf16", "fp32").chosen == "tf32"


def everything(model: nn.Module) -> dict[str, Any]:
    """All that a run of the model could have changed, by its bits."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    found: dict[str, Any] = {name: tensor.detach().numpy().tobytes() for name, tensor in tensors}
    found |= {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    found |= {f"{name}.training": part.training for name, part in model.named_modules()}
    return found | {"random": torch.get_rng_state().numpy().tobytes()}


def test_nothing_is_left_of_it() -> None:
    model = network().eval()
    model[0].train()
    model[2].weight.grad = torch.ones(8, 4)
    model[4].weight.requires_grad_(False)
    model.register_buffer("kept", torch.ones(3), persistent=False)
    before = everything(model)
    seen: list[bool] = []
    changed = model.register_forward_hook(
        lambda model, *_: seen.append(everything(model) != before)
    )
    meter = Meter(SECONDS, JOULES)
    hook = model.register_forward_pre_hook(meter.saw)
    calibrate(model, Baseline(), ["fp32", "bf16"], run(meter))
    hook.remove()
    changed.remove()
    after = everything(model)
    gradient = after.pop("2.weight.grad")
    assert gradient is before.pop("2.weight.grad")
    assert torch.equal(gradient, torch.ones(8, 4))
    assert after == before
    assert any(seen)


def test_nothing_is_left_of_it_after_an_error() -> None:
    model = network()
    before = everything(model)
    calls = 0

    def fail(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("out of memory")

    hook = model.register_forward_pre_hook(fail)
    meter = Meter(dict.fromkeys(["", *SECONDS], 1.0), {"": 1.0, **JOULES})
    with pytest.raises(RuntimeError, match="out of memory"):
        calibrate(model, Baseline(), ["fp32", "bf16"], run(meter))
    hook.remove()
    assert everything(model) == before


def test_the_compression_is_held_in_the_trial_and_sees_none_of_it() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    stego = Stego()
    stego.compress(model, by_accuracy(lambda model: 0.9), 1.0)
    held: list[bool] = []

    def low_bits_are_clear(*_: Any) -> None:
        weight = model.get_parameter("1.weight").detach()
        held.append(not (weight.view(torch.int32) & (1 << 31) - 1).any())

    model.register_forward_pre_hook(low_bits_are_clear)
    before = vars(stego).copy()
    meter = Meter(SECONDS, JOULES)
    model.register_forward_pre_hook(meter.saw)
    calibrate(model, stego, ["fp32", "bf16"], run(meter))
    assert len(held) == 14
    assert all(held)
    assert vars(stego) == before
    assert stego._remainders == {}


def test_an_empty_training_split_says_what_to_do() -> None:
    with pytest.raises(CellError, match="lower batch_size"):
        calibrate(network(), Baseline(), ["fp32", "bf16"], run(Meter(SECONDS, JOULES), train=[]))


def test_real_steps_on_the_real_clock() -> None:
    import time

    @contextmanager
    def window() -> Iterator[Any]:
        closed, start = _Closed(), time.perf_counter()
        yield closed
        closed.reading = EnergyReading(time.perf_counter() - start, {}, {})

    found = calibrate(network(), Baseline(), ["fp32", "bf16"], run(Meter({}, {}), window=window))
    seconds = {name: costs["seconds_per_step"] for name, costs in found.candidates.items()}
    assert set(seconds) == {"fp32", "bf16"}
    assert {len(costs) for costs in found.rounds.values()} == {6}
    assert all(cost > 0 for costs in found.rounds.values() for cost in costs)
    assert found.chosen == "fp32" or found.ratios["bf16"][1] < 1
    assert found.criterion == "seconds_per_step"
