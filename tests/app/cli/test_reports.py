import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.saved_runs import cell, save

from energybench.app.cli.main import main
from energybench.report.figures import FIGURES


@pytest.fixture
def run(tmp_path: Path) -> str:
    return save(tmp_path / "run.json", [cell(), cell("stego", joules=600.0)])


def test_report_writes_a_page_or_prints_markdown(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", run, "-o", str(out)]) == 0
    assert "On resnet18 stego took 40.0 % less energy." in out.read_text()
    assert capsys.readouterr().err == f"wrote {out}\n"
    assert main(["report", run, "--markdown"]) == 0
    assert "| resnet18 | stego" in capsys.readouterr().out
    out = tmp_path / "report.md"
    assert main(["report", run, "--markdown", "-o", str(out)]) == 0
    assert out.read_text().startswith("## run, on a processor")


def test_a_run_whose_name_is_not_utf8_has_a_page(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / os.fsdecode(b"caf\xe9.json")
    Path(run).rename(named)
    page = tmp_path / "page.html"
    assert main(["report", str(named), "-o", str(page)]) == 0
    assert r"caf\xe9" in page.read_text(encoding="utf-8")
    assert main(["report", str(named), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith(r"## caf\\xe9, on a processor")  # for Markdown


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plot_writes_one_figure(run: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"saving{suffix}"
    assert main(["plot", "saving", run, "-o", str(out)]) == 0
    if suffix == ".png":
        with Image.open(out) as image:
            assert image.width > 500
    else:
        assert ">stego</text>" in out.read_text()


def test_plot_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "RUN"], "name the page with -o report.html"),
        (["report", "RUN", "-o", "nowhere/report.html"], "cannot write nowhere/report.html"),
        (["report", "gone.json", "-o", "x.html"], "cannot read gone.json"),
        (["plot", "savings", "RUN", "-o", "x.svg"], "no figure 'savings'; known: saving, "),
        (["plot", "saving"], "name a RUN, and the file with -o"),
        (["plot", "saving", "RUN"], "name a RUN, and the file with -o"),
        (["plot", "saving", "RUN", "-o", "x.gif"], "x.gif is neither .svg nor .png"),
        (["plot", "saving", "RUN", "-o", "nowhere/x.svg"], "its folder does not exist"),
        (["plot", "power", "RUN", "-o", "x.svg"], "has no data for the figure 'power'"),
        (["plot"], "no figure None; known: "),
        (["report", "RUN", "-o", "RUN"], "run.json does not end in .html or .htm"),
        (["report", "RUN", "--markdown", "-o", "RUN"], "does not end in .md or .markdown"),
        (["report", "RUN", "--readme", "RUN"], "does not end in .md or .markdown"),
        (["report", "RUN", "-o", "report.png"], "report.png does not end in .html"),
        (["doctor", "--json", "RUN.html"], "RUN.html does not end in .json"),
    ],
)
def test_mistakes_are_one_line(
    run: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([run if one == "RUN" else one for one in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("energybench: ")
    assert says in line


@pytest.mark.parametrize("text", ["", '{"benchmarks": [', "[]", '{"benchmarks": []}'])
def test_malformed_truncated_foreign_and_empty_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    for command in (["report", str(bad), "-o", "x.html"], ["show", str(bad)]):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "bad.json" in line


def test_reports_load_no_torch(run: str, tmp_path: Path) -> None:
    out = str(tmp_path / "report.html")
    code = (
        "import sys; from energybench.app.cli.main import main\n"
        f"assert main(['report', {run!r}, '-o', {out!r}]) == 0\n"
        "print(sorted({'torch', 'torchvision', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_output_goes_over_a_run_by_another_name(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(run).read_bytes()
    for suffix in (".html", ".svg"):
        (tmp_path / f"link{suffix}").symlink_to(run)
        (tmp_path / f"same{suffix}").hardlink_to(run)
    for name in ("link", "same"):
        assert main(["report", run, "-o", str(tmp_path / f"{name}.html")]) == 2
        assert main(["plot", "saving", run, "-o", str(tmp_path / f"{name}.svg")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all("is a run that this command reads" in line for line in lines)
    assert Path(run).read_bytes() == before


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("report",), "out.html"),
        (("report", "--markdown"), "out.md"),
        (("plot", "saving"), "o.svg"),
    ],
)
def test_a_disk_that_fills_up_leaves_the_file_that_was_there(
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    name: str,
) -> None:
    out = tmp_path / "pages" / name
    out.parent.mkdir()
    out.write_text("of last week")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([*command, run, "-o", str(out)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [(one.name, one.read_text()) for one in out.parent.iterdir()] == [(name, "of last week")]


def test_a_file_that_is_replaced_keeps_its_permissions_and_its_link(
    run: str, tmp_path: Path
) -> None:
    out, link = tmp_path / "report.html", tmp_path / "latest.html"
    assert main(["report", run, "-o", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022)), "as any new file"
    out.chmod(0o640)
    link.symlink_to(out)
    assert main(["report", run, "-o", str(link)]) == 0
    assert link.is_symlink()
    assert out.stat().st_mode & 0o777 == 0o640
