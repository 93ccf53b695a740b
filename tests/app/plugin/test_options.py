import pytest

from energybench.app.plugin.options import OPTIONS, Options, read_options
from energybench.errors import UsageError


def read(**given: str) -> Options:
    return read_options(lambda option: given.get(option.name.replace("-", "_")))


def test_the_defaults_are_the_papers() -> None:
    options = read()
    tuning = options.run.finetune
    assert (tuning.learning_rate, tuning.momentum, tuning.weight_decay) == (0.01, 0.9, 1e-4)
    assert (tuning.patience, tuning.min_delta) == (3, 0.05)
    assert options.run.tolerance == 1.0
    assert options.run.measure.pue == 1.58
    assert options.run.dataset == "digits"
    assert options.models is None
    assert options.wait


def test_every_option_arrives() -> None:
    options = read(
        models="resnet18, vgg16",
        methods="lowrank+stego",
        seeds="3",
        dataset="folder:/data",
        weights="/w",
        device="cuda:1",
        precision="bf16",
        memory_format="channels_last",
        compile="true",
        tolerance="0.5",
        max_epochs="7",
        batch_size="32",
        meter="nvml,rapl",
        pue="1",
        country="FRA",
        idle="0",
        trace="true",
        no_wait="true",
    )
    assert options.models == ("resnet18", "vgg16")
    assert options.methods == ("lowrank+stego",)
    assert options.seeds == 3
    assert not options.wait
    run = options.run
    assert (run.dataset, run.weights, run.device) == ("folder:/data", "/w", "cuda:1")
    assert (run.precision, run.tolerance) == ("bf16", 0.5)
    assert (run.memory_format, run.compile) == ("channels_last", True)
    assert (run.finetune.max_epochs, run.finetune.batch_size) == (7, 32)
    measure = run.measure
    assert (measure.meters, measure.pue) == (("nvml", "rapl"), 1.0)
    assert (measure.country, measure.idle_s, measure.trace) == ("FRA", 0.0, True)


def test_the_largest_batch_can_be_asked_for() -> None:
    run = read(batch_size="auto").run
    assert run.largest_batch
    assert not read().run.largest_batch


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"models": "resnet19"}, "did you mean resnet1"),
        ({"models": ","}, "empty list"),
        ({"methods": "prone"}, "did you mean prune"),
        ({"dataset": "digit"}, "did you mean digits"),
        ({"meter": "nvm"}, "did you mean nvml"),
        ({"meter": "replay"}, "name it with --energy-replay=FILE"),
        ({"tolerance": "-1"}, "at least 0"),
        ({"tolerance": "much"}, "--energy-tolerance=much is not a number"),
        ({"tolerance": "nan"}, "at least 0"),
        ({"pue": "0.9"}, "at least 1"),
        ({"idle": "-1"}, "--energy-idle is -1; it must be at least 0"),
        ({"trace": "maybe"}, "maybe is neither true nor false"),
        ({"seeds": "0"}, "--energy-seeds: 0 is less than 1"),
        ({"batch_size": "1"}, "at least 2"),
        ({"batch_size": "0"}, "at least 2"),
        ({"max_epochs": "0"}, "at least 1"),
        ({"precision": "fp8"}, "known: fp32, tf32, bf16"),
    ],
)
def test_bad_input_is_one_line(given: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flags_and_keys() -> None:
    by_name = {option.name: option for option in OPTIONS}
    assert by_name["max-epochs"].flag == "--energy-max-epochs"
    assert by_name["max-epochs"].key == "energy_max_epochs"
