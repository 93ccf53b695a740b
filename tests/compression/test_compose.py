"""Compositions: order, shared tolerance, constraints that hold together."""

import doctest
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.base import (
    BITS,
    MASK,
    STRUCTURE,
    Compression,
    Score,
    precisions_of,
    required_precision,
)
from energybench.compression.compose import Composition, build, compress
from energybench.compression.prune import Prune
from energybench.compression.stego import Stego
from energybench.errors import UsageError
from energybench.records.metric import Metric
from energybench.records.record import CompressionReport

Constraint = Callable[[Compression, nn.Module, CompressionReport], Callable[[], None]]


@pytest.mark.parametrize(
    "named", ["stego+prune+lowrank", "lowrank+prune+stego", "prune + lowrank+ stego"]
)
def test_name_and_order_are_canonical(named: str) -> None:
    compression = build(named)
    assert compression.name == "lowrank+prune+stego"
    assert compression.stage == STRUCTURE


def test_one_name_builds_that_method_alone() -> None:
    assert isinstance(build("prune"), Prune)


def test_of_one_stage_the_first_registered_comes_first() -> None:
    assert build("lowrank+prune-channels").name == "prune-channels+lowrank"
    assert build("stego+prune-2to4+prune").name == "prune+prune-2to4+stego"


@pytest.mark.parametrize("method", ["prune+prune", "baseline+stego", "stego+", "prun"])
def test_unknown_repeated_and_baseline_parts_are_refused(method: str) -> None:
    with pytest.raises(UsageError):
        build(method)


class Fake:
    """Drops the score by `drop_pp` (negative: raises it) and notes the tolerance it was given."""

    def __init__(self, name: str, stage: int, drop_pp: float, rate: float = 0.5) -> None:
        self.name, self.stage = name, stage
        self._drop_pp, self._rate = drop_pp, rate
        self.tolerance: float | None = None

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        self.tolerance = tolerance
        before = score(model)
        with torch.no_grad():
            model.get_parameter("bias").sub_(self._drop_pp / 100)
        none = self._drop_pp == 0.0
        rate = 0.0 if none else self._rate
        return CompressionReport(
            self.name, {"x": 1}, rate, before, score(model), no_effect=none, parts=[]
        )

    def after_step(self, model: nn.Module) -> None: ...

    def finalize(self, model: nn.Module) -> None: ...


def chain(*drops_pp: float) -> tuple[CompressionReport, list[float | None]]:
    """The report of a chain of fakes and the tolerance each was given; 2 pp for all."""
    model = nn.Linear(1, 1).double()
    nn.init.constant_(model.bias, 0.9)
    stages = (STRUCTURE, MASK, BITS)
    fakes = [Fake(f"m{stage}", stage, drop) for stage, drop in zip(stages, drops_pp, strict=True)]
    report = Composition(fakes).compress(
        model, by_accuracy(lambda now: now.get_parameter("bias").item()), 2.0
    )
    return report, [fake.tolerance for fake in fakes]


def test_parts_share_the_tolerance() -> None:
    report, given_pp = chain(0.5, 1.5, 0.5)
    assert given_pp == pytest.approx([2.0, 1.5, 0.0])
    assert report.reference_score == pytest.approx(0.9)
    assert report.score == pytest.approx(0.875)
    assert report.compression_rate == pytest.approx(1 - 0.5**3)
    assert [part.method for part in report.parts] == ["m0", "m1", "m2"]
    assert report.settings == {"m0.x": 1, "m1.x": 1, "m2.x": 1}


def test_parts_share_the_tolerance_of_a_score_where_lower_is_better() -> None:
    model = nn.Linear(1, 1).double()
    nn.init.constant_(model.bias, 0.9)
    fakes = [Fake("m0", STRUCTURE, -50.0), Fake("m1", MASK, 20.0), Fake("m2", BITS, -100.0)]
    loss = Score(lambda now: now.get_parameter("bias").item(), Metric("loss", False, "", 1.0))
    report = Composition(fakes).compress(model, loss, 2.0)
    assert [fake.tolerance for fake in fakes] == pytest.approx([2.0, 1.5, 1.7])
    assert report.score == pytest.approx(0.9 + 0.5 - 0.2 + 1.0)


def test_the_example_of_compress_runs() -> None:
    runner = doctest.DocTestRunner()
    [example] = doctest.DocTestFinder().find(compress, globs={"compress": compress})
    outcome = runner.run(example)
    assert outcome.attempted > 5
    assert outcome.failed == 0


def test_a_gain_is_not_lent() -> None:
    _, given_pp = chain(-1.0, 2.0, 0.5)
    assert given_pp == pytest.approx([2.0, 2.0, 1.0])


def test_a_part_beyond_its_tolerance_leaves_none() -> None:
    assert chain(3.0, 0.0, 0.0)[1] == pytest.approx([2.0, 0.0, 0.0])


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_a_tolerance_that_nothing_satisfies(tolerance: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 4))
    before = [parameter.clone() for parameter in model.parameters()]
    report = build("lowrank+prune+stego").compress(model, by_accuracy(lambda now: 1.0), tolerance)
    assert report.no_effect
    assert report.compression_rate == 0.0
    assert all(map(torch.equal, model.parameters(), before))


def test_no_effect_only_if_no_part_had_one() -> None:
    assert chain(0.0, 0.0, 0.0)[0].no_effect
    assert not chain(0.0, 0.5, 0.0)[0].no_effect


class Arithmetic(Fake):
    """A fake that bears on the arithmetic of training."""

    def __init__(self, name: str, stage: int, required: str | None, names: tuple[str, ...]) -> None:
        super().__init__(name, stage, 0.0)
        self.required_precision = required
        self._names = names

    def precisions(self) -> tuple[str, ...]:
        return self._names


def test_precisions_are_those_of_the_part_that_names_some() -> None:
    silent = Fake("structure", STRUCTURE, 0.0)
    chosen = Composition([silent, Arithmetic("bits", BITS, None, ("bf16", "tf32"))])
    assert precisions_of(chosen) == ("bf16", "tf32")
    assert required_precision(chosen) is None
    forced = Composition([silent, Arithmetic("control", MASK, "tf32", ("tf32",))])
    assert required_precision(forced) == "tf32"
    nothing = Composition([silent, Arithmetic("bits", BITS, None, ())])
    assert precisions_of(nothing) == ()
    assert required_precision(nothing) is None


def test_stego_in_a_composition_keeps_its_precisions() -> None:
    torch.manual_seed(0)
    compression = build("prune+stego")
    assert precisions_of(compression) == ()
    compression.compress(nn.Linear(20, 20), by_accuracy(lambda now: 1.0), 1.0)
    assert "bf16" in precisions_of(compression)


def low_bits(weight: Tensor, bits: int) -> Tensor:
    return weight.view(torch.int32) & ((1 << bits) - 1)


COMPOSED = [
    "lowrank+stego",
    "prune+stego",
    "lowrank+prune",
    "lowrank+prune+stego",
    "prune-channels+lowrank+prune-2to4+stego",
    "prune-layerwise+prune-2to4+stego",
]


@settings(max_examples=25)
@given(
    named=st.sampled_from(COMPOSED).flatmap(lambda method: st.permutations(method.split("+"))),
    patience=st.integers(1, 7),
    rate=st.sampled_from([1e-6, 1e-3, 1.0]),
    seed=st.integers(0, 99),
)
def test_every_constraint_holds_at_once(
    constraint: Constraint, named: list[str], patience: int, rate: float, seed: int
) -> None:
    """Whatever the order named.

    `patience`: how often a search's score is good; so each part lands on some setting.
    """
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 1), nn.Flatten(), nn.Linear(192, 24)
    )
    calls = 0

    @by_accuracy
    def score(now: nn.Module) -> float:
        nonlocal calls
        calls += 1
        now(torch.zeros(1, 4, 6, 6))
        return float(calls % (patience + 2) != 0)

    compression = build("+".join(named))
    holds = constraint(compression, model, compression.compress(model, score, 1.0))
    holds()
    for hold in [compression.after_step] * 3 + [compression.finalize]:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(rate * torch.randn_like(parameter))
        hold(model)
        holds()


@given(
    percent=st.integers(1, 99),
    bits=st.integers(1, 30),
    rate=st.sampled_from([1e-6, 1e-3, 1.0]),
    seed=st.integers(0, 99),
)
def test_zeros_and_clear_bits_hold_together(
    percent: int, bits: int, rate: float, seed: int
) -> None:
    torch.manual_seed(seed)
    model = nn.Linear(20, 20)
    weight = model.weight.detach()
    prune, stego = Prune(), Stego()
    prune.compress(model, by_accuracy(lambda model: float((weight == 0).sum() <= 4 * percent)), 1.0)
    report = stego.compress(
        model, by_accuracy(lambda model: float(low_bits(weight, bits + 1).any())), 1.0
    )
    found = int(report.settings["bits"])  # `bits`, unless the bit above those is clear anyway
    zeros = weight == 0
    assert int(zeros.sum()) >= 4 * percent

    composition = Composition([prune, stego])
    for hold in [composition.after_step] * 6 + [composition.finalize]:
        weight.add_(rate * torch.randn(20, 20))
        hold(model)
        assert not weight[zeros].any()
        assert not low_bits(weight, found).any()
