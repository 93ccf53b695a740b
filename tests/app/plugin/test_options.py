"""Options of a session: on the command line, in every kind of file, in the table."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app.plugin.mark import read_mark
from energybench.app.plugin.options import (
    OPTIONS,
    Given,
    Options,
    flag,
    given_options,
    key,
    option_table,
    read_options,
)
from energybench.app.plugin.state import RUN
from energybench.errors import UsageError

FLAGS = {key(option): flag(option) for option in OPTIONS}


def read(**given: object) -> Options:
    """Options as they follow from these, spelt as flags."""
    keys = {f"energy_{name}": value for name, value in given.items()}
    return read_options({name: Given(value, FLAGS[name]) for name, value in keys.items()})


def test_the_defaults_are_the_papers() -> None:
    options = read()
    tuning = options.run.finetune
    assert (tuning.learning_rate, tuning.momentum, tuning.weight_decay) == (0.01, 0.9, 1e-4)
    assert (tuning.patience, tuning.min_delta) == (3, 0.05)
    assert options.run.tolerance == 1.0
    assert options.run.measure.pue == 1.58
    assert options.run.dataset == "handwriting"
    assert options.models is None
    assert options.wait


def test_every_option_arrives() -> None:
    options = read(
        models="resnet18, vgg16",
        methods="lowrank+stego",
        seeds="3",
        dataset="folder:/data",
        data_cache="off",
        bad_images="skip",
        links="follow",
        weights="/w",
        device="cuda:1",
        precision="bf16",
        memory_format="channels_last",
        compile="true",
        tolerance="0.5",
        max_epochs="7",
        batch_size="32",
        budget="equal",
        meter="rapl,replay",
        replay="trace.json",
        pue="1",
        country="FRA",
        idle="0",
        busy_share="0.2",
        quiet="600",
        retry="3",
        require="false",
        trace="true",
        journal="j.jsonl",
        resume="true",
        checkpoint="true",
        compare="0001",
        compare_fail="kwh:5%",
        no_wait="true",
    )
    assert options.models == ("resnet18", "vgg16")
    assert options.methods == ("lowrank+stego",)
    assert options.seeds == 3
    assert options.journal == "j.jsonl"
    assert read(world_size="2").world_size == 2
    assert (options.resume, options.checkpoint, options.wait) == (True, True, False)
    assert (options.compare, options.compare_fail) == ("0001", "kwh:5%")
    run = options.run
    assert (run.dataset, run.weights, run.device) == ("folder:/data", "/w", "cuda:1")
    assert (run.data.cache, run.data.bad_images, run.data.links) == ("off", "skip", "follow")
    assert (run.precision, run.tolerance) == ("bf16", 0.5)
    assert (run.memory_format, run.compile) == ("channels_last", True)
    tuning = run.finetune
    assert (tuning.max_epochs, tuning.batch_size, tuning.budget) == (7, 32, "equal")
    measure = run.measure
    assert (measure.meters, measure.pue) == (("rapl", "replay"), 1.0)
    assert (measure.replay, measure.country) == ("trace.json", "FRA")
    assert (measure.idle_s, measure.trace) == (0.0, True)
    assert not measure.requires_energy
    assert (measure.busy_share, measure.quiet_s, measure.retry) == (0.2, 600.0, 3)


def test_a_whole_number_and_its_text_give_the_same_value() -> None:
    for given in (2, "2", "2.0", 2.0):
        assert repr(read(tolerance=given).run.tolerance) == "2.0"


def test_the_largest_batch_can_be_asked_for() -> None:
    run = read(batch_size="auto").run
    assert run.largest_batch
    assert run.finetune.batch_size == 64
    assert not read().run.largest_batch


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"models": "resnet19"}, "--energy-models: unknown model 'resnet19'; did you mean resnet1"),
        ({"models": ","}, "--energy-models is ,; name at least one"),
        ({"methods": "prone"}, "did you mean prune"),
        ({"dataset": "digit"}, "did you mean digits"),
        ({"meter": "nvm"}, "did you mean nvml"),
        ({"meter": "replay"}, "name it with --energy-replay=FILE"),
        ({"tolerance": "-1"}, "--energy-tolerance is -1; it must be at least 0"),
        ({"tolerance": "much"}, "--energy-tolerance is much; it must be a number"),
        ({"tolerance": "nan"}, "at least 0"),
        ({"tolerance": "inf"}, "finite"),
        ({"pue": 10**400}, "it must be at most 100"),
        ({"tolerance": True}, "--energy-tolerance is True; it must be a number"),
        ({"pue": "0.9"}, "at least 1"),
        ({"pue": "1e308"}, "--energy-pue is 1e308; it must be at most 100"),
        ({"idle": "-1"}, "--energy-idle is -1; it must be at least 0"),
        ({"idle": "1e9"}, "at most 3,600"),
        ({"trace": "maybe"}, "--energy-trace is maybe; it must be true or false"),
        ({"trace": 1}, "it must be true or false"),
        ({"seeds": "0"}, "--energy-seeds is 0; it must be at least 1"),
        ({"seeds": "9" * 20}, "it must be at most 10,000"),
        ({"seeds": "9" * 9_999}, "it must be a whole number"),
        ({"seeds": 2.5}, "it must be a whole number"),
        ({"seeds": ["2"]}, "it must be a whole number"),
        ({"batch_size": "1"}, "at least 2"),
        ({"batch_size": "0"}, "at least 2"),
        ({"batch_size": "car"}, "it must be a whole number, or auto"),
        ({"max_epochs": "0"}, "at least 1"),
        ({"precision": "fp8"}, "known: fp32, tf32, bf16"),
        ({"device": "tpu"}, "use auto, cpu, cuda or cuda:N"),
        ({"weights": ""}, "--energy-weights is empty; give it a value, or leave it out"),
        ({"weights": 3}, "it must be one text"),
        ({"models": [1]}, 'it must be names: "a,b" or ["a", "b"]'),
    ],
)
def test_bad_input_is_one_line(given: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


SEEN = """
from energybench.app.plugin.state import RUN

def test_options(pytestconfig):
    options = pytestconfig.stash[RUN].options
    print(repr((options.models, options.seeds, options.run.tolerance, options.run.measure.trace,
                options.run.finetune.batch_size, options.run.weights)))
"""
EXPECTED = "(('resnet18', 'vgg16'), 2, 0.5, True, 32, None)"

INI = """
[pytest]
energy_models = resnet18, vgg16
energy_seeds = 2
energy_tolerance = 0.5
energy_trace = true
energy_batch_size = 32
energy_weights =
"""
NATURAL = """
energy_models = ["resnet18", "vgg16"]
energy_seeds = 2
energy_tolerance = 0.5
energy_trace = true
energy_batch_size = 32
energy_weights = ""
"""
LINES = """
[pytest]
energy_models =
    resnet18
    vgg16
energy_seeds = 2
energy_tolerance = 0.5
energy_trace = on
energy_batch_size = 32
"""
TEXTS = """
energy_models = "resnet18,vgg16"
energy_seeds = "2"
energy_tolerance = "0.5"
energy_trace = "true"
energy_batch_size = "32"
"""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", INI),
        ("pytest.ini", LINES),
        ("tox.ini", INI),
        ("setup.cfg", INI.replace("[pytest]", "[tool:pytest]")),
        ("pyproject.toml", f"[tool.pytest.ini_options]{NATURAL}"),
        ("pyproject.toml", f"[tool.pytest.ini_options]{TEXTS}"),
        ("pyproject.toml", f"[tool.pytest]{NATURAL}"),
        ("pyproject.toml", f"[tool.pytest]{TEXTS}"),
        ("pytest.toml", f"[pytest]{NATURAL}"),
    ],
)
def test_values_of_their_own_types_in_every_file(
    pytester: pytest.Pytester, file: str, text: str
) -> None:
    Path(pytester.path, file).write_text(text)
    pytester.makepyfile(SEEN)
    result = pytester.runpytest_subprocess("-s", "-W", "error")
    result.assert_outcomes(passed=1)
    assert EXPECTED in result.stdout.str()
    assert "arning" not in result.stdout.str()


@pytest.mark.parametrize("section", ["tool.pytest.ini_options", "tool.pytest"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("energy_seeds = 0", "energy_seeds in pyproject.toml is 0; it must be at least 1"),
        ("energy_seeds = 2.5", "energy_seeds in pyproject.toml is 2.5; it must be a whole number"),
        ("energy_models = [1]", "energy_models in pyproject.toml is [[]1]; it must be names: *"),
        ("energy_device = ['cpu']", "energy_device in pyproject.toml is ?'cpu'?; it must be one *"),
    ],
)
def test_a_wrong_value_in_a_file_is_one_line(
    pytester: pytest.Pytester, section: str, line: str, says: str
) -> None:
    Path(pytester.path, "pyproject.toml").write_text(f"[{section}]\n{line}\n")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says}"])
    assert len([line for line in result.stderr.lines if line.strip()]) == 1


@pytest.mark.parametrize("section", ["tool.pytest.ini_options", "tool.pytest"])
@pytest.mark.parametrize(
    "line",
    [
        "energy_models = [['resnet18']]",
        "energy_models = []",
        "energy_models = {a = 1}",
        "energy_seeds = []",
        "energy_seeds = [2]",
        "energy_trace = ['true']",
        "energy_country = 2026-01-01",
    ],
)
def test_any_type_of_toml_is_a_value_or_one_line(
    pytester: pytest.Pytester, section: str, line: str
) -> None:
    Path(pytester.path, "pyproject.toml").write_text(f"[{section}]\n{line}\n")
    given = given_options(pytester.parseconfig())
    with pytest.raises(UsageError) as caught:
        read_options(given)
    assert str(caught.value).startswith(f"{line.split()[0]} in pyproject.toml")
    assert "\n" not in str(caught.value)


@dataclass
class ConfigValue:
    """A value as pytest 9.0.0 and 9.0.1 have it in `Config.inicfg`."""

    value: object
    origin: str = "file"
    mode: str = "toml"


def test_the_first_pytest_9_hides_values_in_objects() -> None:
    config: Any = SimpleNamespace(
        inicfg={"energy_seeds": ConfigValue(2), "energy_models": ConfigValue(["vgg16"])},
        inipath=Path("pytest.toml"),
        getoption=lambda name, default=None: None,
    )
    options = read_options(given_options(config))
    assert (options.seeds, options.models) == (2, ("vgg16",))


def test_the_command_line_goes_before_the_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nenergy_seeds = 7\nenergy_tolerance = 3\n")
    pytester.makepyfile(SEEN)
    result = pytester.runpytest_subprocess("-s", "--energy-seeds=2", "-o", "energy_tolerance=0.25")
    assert "(None, 2, 0.25, False, 64, None)" in result.stdout.str()
    wrong = pytester.runpytest_subprocess("-o", "energy_tolerance=-1")
    wrong.stderr.fnmatch_lines(["ERROR: -o energy_tolerance is -1; it must be at least 0"])


@pytest.mark.parametrize(
    "given",
    [
        "--energy-device=tpu",
        "--energy-dataset=digit",
        "--energy-meter=nvm",
        "--energy-methods=prone",
        "--energy-seeds=99999999999999999999",
        "--energy-weights=",
    ],
)
def test_a_wrong_option_is_refused_though_nothing_is_selected(
    pytester: pytest.Pytester, given: str
) -> None:
    result = pytester.runpytest_subprocess(given, "-k", "nothing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {given.partition('=')[0]}*"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("--energy-dataset=folder", "the data set folder needs a path: folder:PATH"),
        ("--energy-dataset=folder:no/where", "no/where is not a folder; name one with train/"),
        ("--energy-dataset=digits:5", "digits is installed with energybench and takes no path"),
        ("--energy-weights=no/where", "no weights at no/where; give a file, or a folder"),
        ("--energy-meter=replay --energy-replay=no.json", "cannot read the trace no.json: No"),
        ("--energy-replay=no.json", "--energy-replay is the trace of the meter replay"),
        ("--energy-meter=auto,rapl", "auto chooses the meters itself"),
        (
            "--energy-wall-meter=plug:h",
            "--energy-wall-meter: 'plug:h' is no wall meter; write shelly",
        ),
        (
            "--energy-meter=wall",
            "--energy-meter=wall reads a plug or a board; name it with --energy-wall-meter",
        ),
        (
            "--energy-hwmon=cpu=ina226",
            "--energy-hwmon: 'cpu=ina226' declares no sensor; write KIND=",
        ),
        ("--energy-country=X1", "--energy-country is X1; use ISO 3166-1"),
        ("--energy-methods=stego@32", "bits must be 1 to 31"),
        ("--energy-executor=cloud", "unknown executor 'cloud'"),
        ("--energy-world-size=3", "it cannot be split evenly over 3: name a multiple of 3"),
        ("--energy-world-size=2 --energy-compile", "compile is for one process"),
        ("--energy-world-size=2 --energy-checkpoint", "--energy-checkpoint is for one process"),
        ("--energy-compare-fail=kwh:5%", "--energy-compare-fail needs --energy-compare=RUN"),
    ],
)
def test_what_the_command_line_alone_decides_is_refused_before_anything_is_collected(
    pytester: pytest.Pytester, given: str, says: str
) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        pytester.parseconfigure(*given.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_name_data_that_this_machine_lacks(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nenergy_dataset = folder:no/where\nenergy_weights = no/where\n")
    assert pytester.parseconfigure().stash[RUN].options.run.weights == "no/where"


MATRIX = """
import pytest

@pytest.mark.energy_matrix({arguments})
def test_cells(cell):
    pass
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("model=['resnet18'], methods=['stego']", "unexpected keyword argument 'model'"),
        ("", "missing 2 required positional arguments"),
        ("models='resnet18', methods=['stego']", "models is 'resnet18', not a list of names"),
        ("models=[], methods=['stego']", "models is [[]], not a list of names"),
        ("models=['resnet18'], methods=[3]", "methods is [[]3], not a list of names"),
        ("models=['resnet19'], methods=['stego']", "unknown model 'resnet19'; did you mean *"),
        ("['resnet18'], ['stego'], ['2']", "tolerances is [[]'2'], not a list of numbers *"),
        ("['resnet18'], ['stego'], [-1]", "tolerances is [[]-1], not a list of numbers *"),
        ("['resnet18'], ['stego'], 2", "tolerances is 2, not a list of numbers *"),
        ("['resnet18'], ['stego@32']", "method stego@32: bits must be 1 to 31; *stego@16"),
        ("['resnet18'], ['stego'], gpu_methods='x'", "gpu_methods is 'x', not a list of names; *"),
    ],
)
def test_a_wrong_mark_is_one_line(pytester: pytest.Pytester, arguments: str, says: str) -> None:
    pytester.makepyfile(MATRIX.replace("{arguments}", arguments))
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*::test_cells: *{says}*"])
    assert "Traceback" not in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_controls_of_an_arithmetic_are_in_the_matrix_of_a_gpu_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    methods = ("baseline", "stego")
    mark = read_mark(pytest.mark.energy_matrix(["a"], methods, gpu_methods=["b"]).mark)
    assert mark.methods_on("cpu") == methods
    assert mark.methods_on("cuda:1") == (*methods, "b")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr("energybench.app.plugin.mark._NVIDIA", (driver,))
    assert mark.methods_on("auto") == methods
    driver.touch()
    assert mark.methods_on("auto") == (*methods, "b")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert mark.methods_on("auto") == methods


def test_the_manual_has_the_table_of_options(pytestconfig: pytest.Config) -> None:
    pages = [pytestconfig.rootpath / "README.md", *pytestconfig.rootpath.glob("docs/**/*.md")]
    tables = [table for page in pages for table in marked_tables(page.read_text())]
    assert tables == [option_table()], "paste what option_table() returns between the two markers"


def marked_tables(text: str) -> list[Any]:
    """The texts between the two markers."""
    parts = text.split("<!-- options -->")[1:]
    return [part.partition("<!-- /options -->")[0].strip() for part in parts]
