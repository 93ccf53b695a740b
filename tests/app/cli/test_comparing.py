import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.saved_runs import cell, estimated, save

from energybench.app.cli.main import main
from energybench.records.record import SCHEMA_VERSION

GOLDEN = Path(__file__).parents[2] / "records" / "golden"


@pytest.fixture
def old(tmp_path: Path) -> str:
    return save(tmp_path / "old.json", [cell(), cell("stego", joules=600.0)])


@pytest.fixture
def new(tmp_path: Path) -> str:
    return save(tmp_path / "new.json", [cell(), cell("stego", joules=700.0)])


def test_two_runs(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", old, new]) == 0
    out, err = capsys.readouterr()
    (stego,) = [line for line in out.splitlines() if "stego" in line]
    assert "+40.0 %" in stego
    assert "+30.0 %" in stego
    assert stego.split()[-1] == "1.167"
    assert err == ""


def test_one_run_is_each_method_beside_its_baseline(
    old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", old, "--why"]) == 0
    out = capsys.readouterr().out
    assert "+40.0 %" in out
    assert "0.60 (100 %)" in out


@pytest.mark.parametrize("command", ["show", "compare"])
def test_a_narrow_terminal_gets_fewer_columns_and_a_file_all(
    old: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main([command, old]) == 0
    whole = capsys.readouterr().out
    assert max(map(len, whole.splitlines())) > 70
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([command, old]) == 0
    narrow = capsys.readouterr().out
    table = [line for line in narrow.splitlines() if "  " in line]
    assert max(map(len, table)) <= 40
    assert "+40.0 %" in narrow
    assert "left out, to fit 40 columns: " in narrow
    assert "left out" not in whole


def test_limits_end_with_status_1_and_the_offending_rows(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", old, new, "--fail-on", "kwh:20%,accuracy:1pp"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["compare", old, new, "--fail-on", "kwh:5%,accuracy:1pp"]) == 1
    assert capsys.readouterr().err == (
        "energybench: worse than allowed: resnet18 stego in new: kwh +16.67 %, limit 5 % (1 seed)\n"
    )
    assert main(["compare", new, old, "--fail-on", "kwh:5%"]) == 0


def test_an_estimate_is_never_judged_beside_a_measurement(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guess = save(tmp_path / "guess.json", [estimated(), estimated("stego")])
    assert main(["compare", old, guess, "--fail-on", "accuracy:5pp"]) == 0
    capsys.readouterr()
    assert main(["compare", old, guess, "--fail-on", "accuracy:5pp,kwh:5%"]) == 2
    err = capsys.readouterr().err
    assert err == (
        "energybench: --fail-on: kwh:5% would compare an estimate with a measurement: resnet18 "
        "baseline is read by rapl in old, by codecarbon_estimate in guess; measure both alike\n"
    )


def test_for_a_pull_request_a_verdict_stands_above_a_folded_table(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", old, new, "--format", "github", "--fail-on", "kwh:5%"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("energybench: **Worse than allowed** (kwh")
    assert rest[1] == "<details><summary>2 rows of 2 runs</summary>"
    assert main(["compare", old, "--format", "github"]) == 0
    assert "**2 rows of 1 run**" in capsys.readouterr().out
    assert main(["compare", old, "--format", "github", "--why"]) == 2
    assert "--why prints a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fail-on", "kwh:5%"], "--fail-on needs two runs to compare; name another RUN"),
        (["--fail-on", "kwh:x"], "'kwh:x' is no limit; write METRIC:N% or accuracy:Npp"),
        (["--fail-on", f"kwh:{'9' * 400}%"], f"'{'9' * 100}...' in 'kwh:{'9' * 96}...' is not"),
        (["--by", "machine", "--fail-on", "kwh:5%"], "--fail-on needs two machines"),
        (["--across", "pue"], "--across=pue: energies under different PUE are not comparable"),
        (["--why", "--format", "csv"], "--why prints a table; leave out --format=csv"),
        (["gone.json"], "cannot read gone.json: No such file"),
    ],
)
def test_mistakes_are_one_line(
    old: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["compare", old, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"energybench: {says}")


def test_limits_on_runs_with_nothing_in_common_are_refused(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save(tmp_path / "other.json", [cell(model="vgg16")])
    assert main(["compare", old, other, "--fail-on", "kwh:5%"]) == 2
    assert "--fail-on has nothing to judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ('{"benchmarks": [', "is not JSON"),
        ("[]", "is not a file of pytest-benchmark's"),
        ('{"benchmarks": [{"name": "other", "extra_info": {}}]}', "has no energybench records"),
        ('{"benchmarks": [{"extra_info": {"energybench": {}}}]}', "record it again"),
    ],
)
def test_malformed_truncated_foreign_and_empty_files(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert main(["compare", old, str(tmp_path / "bad.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "bad.json" in line


def test_a_protocol_that_is_no_plain_value_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = save(tmp_path / "odd.json", [cell(max_epochs=[50])])
    assert main(["compare", odd]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not an energybench record: protocol.max_epochs: " in line


def test_a_newer_record_is_refused_with_what_to_do(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(Path(old).read_text())
    data["benchmarks"][0]["extra_info"]["energybench"]["schema_version"] = SCHEMA_VERSION + 1
    (tmp_path / "newer.json").write_text(json.dumps(data))
    assert main(["compare", old, str(tmp_path / "newer.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "newer.json" in line
    assert "upgrade energybench to read it" in line


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_run_of_every_earlier_version_still_compares(
    version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = str(GOLDEN / f"run-v{version}.json")
    assert main(["compare", golden, golden]) == 0
    again = tmp_path / "again.json"
    again.write_bytes(Path(golden).read_bytes())
    assert main(["compare", golden, str(again), "--fail-on", "kwh:0%,accuracy:0pp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.endswith(" 1.000")]
    assert rows


def test_by_machine(old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = save(
        tmp_path / "gpu.json",
        [cell(joules=950.0, device="cuda", device_name="NVIDIA H100", threads=8)],
    )
    assert main(["compare", old, board, "--by", "machine"]) == 0
    out = capsys.readouterr().out
    assert "A: a processor\nB: NVIDIA H100" in out
    assert "within sensor error" in out


def test_comparing_loads_neither_torch_nor_scipys_statistics(old: str, new: str) -> None:
    code = (
        "import sys; from energybench.app.cli.main import main\n"
        f"assert main(['compare', {old!r}, {new!r}, '--why', '--fail-on', 'kwh:50%']) == 0\n"
        "print(sorted({'torch', 'scipy.stats', 'matplotlib', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_stops_reading_is_no_error(old: str) -> None:
    code = f"import sys; from energybench.app.cli import main; sys.exit(main(['compare', {old!r}]))"
    pipe = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert pipe.stdout is not None
    pipe.stdout.close()
    _, errors = pipe.communicate()
    assert (pipe.returncode, errors) == (0, b"")
