"""Every registered method promises the same for every task, whichever way its metric goes."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from support.language import model_folder, text_folder
from support.scores import by_accuracy
from support.tasks import TASKS, value_on
from torch import Tensor, nn

from energybench.compression.base import Compression, Score
from energybench.compression.compose import build, compress
from energybench.compression.weights import parameter_count
from energybench.config import DataConfig
from energybench.progress import Progress
from energybench.records.record import CompressionReport
from energybench.registry import METHODS
from energybench.workloads.base import Task
from energybench.workloads.language.texts import open_text

ALL = [
    *(name for name in METHODS.names() if name not in ("freeze-bn", "qlora")),
    "lowrank+prune+stego",
    "prune-channels+prune-2to4+stego",
    "lora+stego",
    "freeze+prune",
]
SEARCHING = [method for method in ALL if not method.startswith(("baseline", "lora", "freeze"))]

LANGUAGES = ("gpt2", "llama")
CPU = torch.device("cpu")

Constraint = Callable[[Compression, nn.Module, CompressionReport], Callable[[], None]]
AfterStep = Callable[[nn.Module], None]


@dataclass
class Case:
    """A pretrained model, its score on validation data, and five steps of SGD."""

    model: nn.Module
    score: Score
    tolerance: float
    """A fifth of it is strict, all of it lets every method compress."""
    train: Callable[[nn.Module, AfterStep], None]


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    """The language task with a model of each kind; "gpt2" ties its embedding, "llama" does not."""
    folder = tmp_path_factory.mktemp("language")
    location = str(text_folder(folder / "text"))
    config = DataConfig(block_length=16)
    data = open_text(location).prepare((), CPU, config, Progress(None), print)
    return {
        kind: data.task(f"hf:{model_folder(folder / kind, kind)}", None, CPU) for kind in LANGUAGES
    }


@pytest.fixture(params=["image", *TASKS, *LANGUAGES])
def case(
    request: pytest.FixtureRequest,
    network: nn.Module,
    accuracy: Score,
    train: Callable[[nn.Module, AfterStep], None],
) -> Case:
    if request.param == "image":
        return Case(network, accuracy, 25.0, train)
    if request.param in TASKS:
        task = TASKS[request.param]
    else:
        task = request.getfixturevalue("languages")[request.param]

    def steps(model: nn.Module, after_step: AfterStep) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        for batch, _ in zip(task.batches("train", 64, seed=0), range(5), strict=False):
            optimizer.zero_grad()
            task.loss(model, batch)[0].backward()
            optimizer.step()
            after_step(model)

    score = Score(lambda model: value_on(task, model), task.metric)
    generous = 25.0 if task.metric.higher_is_better else 0.5
    return Case(task.model(0).train(), score, generous, steps)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(
        value.numpy().tobytes() == other[name].numpy().tobytes() for name, value in one.items()
    )


@pytest.mark.parametrize("method", ALL)
def test_the_drop_is_within_the_tolerance_by_the_metric(method: str, case: Case) -> None:
    reference, tolerance = case.score(case.model), case.tolerance / 5
    compression, report = compress(case.model, method, case.score, tolerance)
    value = case.score(case.model)
    worse = reference - value if case.score.metric.higher_is_better else value - reference
    assert case.score.metric.scale * worse <= tolerance + 1e-9
    if method in SEARCHING:
        assert (report.reference_score, report.score) == (reference, value)
    assert compression.name == report.method
    assert 0.0 <= report.compression_rate < 1.0
    assert case.model.training


@pytest.mark.parametrize("method", SEARCHING)
def test_a_generous_tolerance_compresses_every_task(method: str, case: Case) -> None:
    _, report = compress(case.model, method, case.score, case.tolerance)
    assert not report.no_effect
    assert report.compression_rate > 0.1


@pytest.mark.parametrize("method", ALL)
def test_the_constraint_holds_while_any_task_is_trained(
    method: str, case: Case, constraint: Constraint
) -> None:
    compression, report = compress(case.model, method, case.score, case.tolerance)
    holds = constraint(compression, case.model, report)
    holds()
    before = state(case.model)

    def hold(model: nn.Module) -> None:
        compression.after_step(model)
        holds()

    case.train(case.model, hold)
    compression.finalize(case.model)
    holds()
    assert not equal(state(case.model), before), "training changed nothing"
    assert all(value.isfinite().all() for value in state(case.model).values())


@pytest.mark.parametrize("method", SEARCHING)
def test_no_effect_leaves_the_model_of_any_task_bit_for_bit(method: str, case: Case) -> None:
    before, modules = state(case.model), list(case.model.modules())
    best, worst = (1.0, 0.0) if case.score.metric.higher_is_better else (0.0, 1.0)

    def only_the_original(model: nn.Module) -> float:
        case.score(model)
        return best if equal(state(model), before) else worst

    score = Score(only_the_original, case.score.metric)
    compression, report = compress(case.model, method, score, 0.5)
    assert report.no_effect
    assert report.compression_rate == 0.0
    assert report.reference_score == report.score == best
    assert list(case.model.modules()) == modules
    assert equal(state(case.model), before)
    compression.after_step(case.model)
    compression.finalize(case.model)
    assert equal(state(case.model), before)


@pytest.mark.parametrize("method", SEARCHING)
def test_without_a_tolerance_a_lower_is_better_score_never_gets_worse(method: str) -> None:
    task = TASKS["regression"]
    model = task.model(0)
    reference = value_on(task, model)
    compress(model, method, Score(lambda now: value_on(task, now), task.metric), tolerance=0.0)
    assert value_on(task, model) <= reference + 1e-9


@pytest.mark.parametrize("method", SEARCHING)
def test_tied_embeddings_stay_one_parameter(method: str) -> None:
    task = TASKS["next-token"]
    model = task.model(0)
    positions = model.get_parameter("positions.weight").clone()
    _, report = compress(model, method, Score(lambda now: value_on(task, now), task.metric), 25.0)
    assert model.get_parameter("head.weight") is model.get_parameter("embedding.weight")
    assert torch.equal(model.get_parameter("positions.weight"), positions)
    for part in report.parts or [report]:
        assert any("embedding.weight and head.weight are one" in note for note in part.notes)


@pytest.mark.parametrize("method", ["lowrank", "prune-channels"])
def test_methods_that_change_layers_leave_a_tied_embedding_alone(method: str) -> None:
    task = TASKS["next-token"]
    model = task.model(0)
    before = model.get_parameter("head.weight").clone()
    compress(model, method, Score(lambda now: value_on(task, now), task.metric), 25.0)
    assert torch.equal(model.get_parameter("head.weight"), before)


@pytest.mark.parametrize("method", ["prune", "prune-layerwise", "prune-2to4", "stego"])
def test_methods_that_change_weights_count_a_tied_embedding_once(method: str) -> None:
    task = TASKS["next-token"]
    model = task.model(0)
    untied = copy.deepcopy(model)
    untied.get_submodule("head").weight = nn.Parameter(model.get_parameter("head.weight").clone())
    _, tied_report = compress(model, method, by_accuracy(lambda now: 1.0), 1.0)
    _, report = compress(untied, method, by_accuracy(lambda now: 1.0), 1.0)
    assert not report.notes
    assert tied_report.settings == report.settings
    freed = tied_report.compression_rate * parameter_count(model)
    assert freed == pytest.approx(report.compression_rate * parameter_count(untied))


@pytest.mark.parametrize("method", ALL)
def test_a_function_without_a_metric_is_refused_in_one_line(method: str) -> None:
    def perplexity(model: nn.Module) -> float:
        return 1.0

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    before = state(model)
    message = r"\Aperplexity has no metric[^\n]*Score\(function, Metric\([^\n]*\Z"
    with pytest.raises(TypeError, match=message):
        build(method).compress(model, perplexity, 1.0)  # type: ignore[arg-type]
    assert equal(state(model), before)


def test_a_score_needs_a_metric_not_a_name() -> None:
    with pytest.raises(TypeError, match=r"must be a Metric\(\.\.\.\), not 'rmse'"):
        Score(lambda model: 1.0, "rmse")  # type: ignore[arg-type]
