"""pytest-benchmark's own features beside ours, and what stands in the way of a measurement."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.neighbour import busy_neighbour

QUICK = ("--energy-max-epochs=1", "--energy-tolerance=100")


def test_autosave_then_compare(session: pytest.Pytester) -> None:
    session.runpytest_subprocess("--benchmark-autosave", *QUICK).assert_outcomes(passed=2)
    result = session.runpytest_subprocess("--benchmark-compare", *QUICK)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["*tiny-stego-seed0* (NOW)*", "*tiny-stego-seed0* (0001_*"])
    # pytest-benchmark's own facts include the present clock rate; ours are in both, and equal
    differences = [line for line in result.stderr.lines if "machine_info is different" in line]
    for line in differences:
        _, current, saved = re.split(r"Current: |VS saved: ", line)
        ours = [json.JSONDecoder().raw_decode(text)[0]["energybench"] for text in (current, saved)]
        assert ours[0] == ours[1]
    (saved,) = Path(session.path, ".benchmarks").rglob("*.json")
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "tiny-stego-seed0" in done.stdout


def test_benchmarks_keep_each_run(session: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    conftest = (pytestconfig.rootpath / "benchmarks" / "conftest.py").read_text()
    session.makeconftest(conftest)
    session.runpytest_subprocess(*QUICK).assert_outcomes(passed=2)
    (saved,) = Path(session.path, ".benchmarks").rglob("*.json")
    assert re.fullmatch(r"0001_\w+_\d{8}_\d{6}.*\.json", saved.name)
    assert "Not saving" not in session.runpytest_subprocess("--collect-only").stdout.str()


def test_disabled_benchmarks_still_measure_energy(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess("--benchmark-disable", *QUICK)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["tiny*stego*Wh*replay*"])


def test_without_pytest_benchmark_it_says_so(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess("-p", "no:benchmark")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: energybench times with pytest-benchmark; *"])


def test_a_second_measurement_is_refused_or_waits(session: pytest.Pytester, cache: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from energybench.energy.lock import exclusive_use\n"
            "with exclusive_use(['cpu'], wait=False, say=print):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == "held\n"
        refused = session.runpytest_subprocess("--energy-no-wait", *QUICK)
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines(
            [f"ERROR: *process {holder.pid}*, or wait for it without --energy-no-wait"]
        )
    finally:
        holder.stdin.close()
        holder.wait()
    session.runpytest_subprocess("--energy-no-wait", *QUICK).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--energy-models=tini"], "unknown model 'tini'; did you mean tiny"),
        (["--energy-methods=stega"], "did you mean stego"),
        (["--energy-dataset=digit"], "did you mean digits"),
        (["--energy-dataset=folder:nowhere"], "nowhere is not a folder; name one with"),
        (["--energy-dataset=folder:~nobody-here/a"], "~nobody-here/a is not a folder"),
        (["--energy-dataset=text:~nobody-here/a"], "no text at ~nobody-here/a"),
        (["--energy-weights=~nobody-here/a"], "no weights at ~nobody-here/a"),
        (["--energy-dataset=folder"], "folder:PATH"),
        (["--energy-tolerance=-0.5"], "at least 0"),
        (["--energy-pue=0.5"], "at least 1"),
        (["--energy-device=cuda:7"], "no device cuda:7"),
        (["--energy-device=tpu"], "use auto, cpu, cuda or cuda:N"),
        (["--energy-precision=tf32", "--energy-device=cpu"], "Ampere"),
        (["--energy-weights=nothing.pt"], "no weights at nothing.pt"),
        (["--energy-meter=nvml", "--energy-device=cpu", "-oenergy_replay="], "nvml"),
        (["--energy-replay=nothing.json"], "nothing.json"),
        (
            ["-oenergy_replay="],
            "plays a trace; name it with --energy-replay=FILE",
        ),
    ],
)
def test_bad_input_ends_before_any_training(
    session: pytest.Pytester, arguments: list[str], says: str
) -> None:
    result = session.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.stderr.lines if line.strip()]
    assert len(errors) == 1
    assert errors[0].startswith("ERROR: ")
    assert says in errors[0]


def test_a_corrupt_checkpoint_ends_before_any_training(session: pytest.Pytester) -> None:
    (session.path / "tiny.safetensors").write_bytes(b"\x01" * 64)
    result = session.runpytest_subprocess("--energy-weights=tiny.safetensors")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: cannot read weights from tiny.safetensors: *"])


def test_a_control_that_the_device_does_not_have_is_skipped(session: pytest.Pytester) -> None:
    methods = "--energy-methods=baseline,baseline-tf32,baseline-bf16"
    result = session.runpytest_subprocess(methods, "--energy-device=cpu", "-rs", *QUICK)
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        ["tiny*baseline-bf16 ?bf16?*replay*", "SKIPPED*tf32 needs an NVIDIA GPU of the Ampere*"]
    )


def test_a_busy_machine_is_waited_for_and_has_no_idle_power(session: pytest.Pytester) -> None:
    options = [
        "--energy-quiet=0.6",
        "--energy-idle=0.2",
        "--benchmark-json=a.json",
        "-k",
        "baseline",
    ]
    with busy_neighbour():
        result = session.runpytest_subprocess(*options, *QUICK)
    result.stdout.fnmatch_lines(
        [
            "no idle power, so no kwh_net: the machine was not idle in 3 attempts: others used *",
            "waiting for a quiet machine, at most 0.6 s: others used * of the processors*",
            "the machine was not quiet within 0.6 s: others used *",
        ]
    )
    (entry,) = json.loads((session.path / "a.json").read_text())["benchmarks"]
    record = entry["extra_info"]["energybench"]
    assert record["idle_watts"] == {}
    assert "not idle" in record["phases"]["finetune"]["unavailable"]["idle power"]
    assert entry["extra_info"]["kwh_net"] is None
    assert entry["extra_info"]["cpu_s"] > 0.0


def test_emissions_and_idle_power_where_they_are_asked_for(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(
        "--energy-country=FRA",
        "--energy-idle=0.05",
        "--energy-busy-share=1",
        "--energy-trace",
        "--benchmark-json=a.json",
        *QUICK,
    )
    result.stdout.fnmatch_lines(["model*energy*CO2e*saving*", "tiny*baseline*Wh*g*replay*"])
    for entry in json.loads((session.path / "a.json").read_text())["benchmarks"]:
        extra = entry["extra_info"]
        assert extra["kg_co2e"] == pytest.approx(extra["kwh"] * 0.056, rel=0.05)
        assert extra["energybench"]["idle_watts"] == {"cpu:0": pytest.approx(1000.0, rel=0.5)}
        assert extra["energybench"]["trace"]["marks"].keys() >= {"load", "finetune"}
