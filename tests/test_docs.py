"""Every Python example in `README.md` and `docs/` runs, and what the pages name exists.

An HTML comment in the line before a fence says what becomes of the block:

- `<!-- file: NAME -->` writes the block to NAME in a folder of the page's own. Entry points in a
  `pyproject.toml` count as installed; a `test_*.py` is run by pytest, with energy replayed.
- `<!-- no-run: REASON -->` leaves the block alone.

A Python block without such a comment is a script: it runs in that folder, in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.packages import install

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL_PAGES = [
    *PAGES,
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    ROOT / "tests/README.md",
]
FENCE = re.compile(
    r"(?:^<!-- (?P<rule>file|no-run): (?P<argument>.+?) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    number: int
    language: str
    rule: str | None
    argument: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}-{self.argument if self.rule == 'file' else self.number}"


def blocks_of(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(page, number, match["language"], match["rule"], match["argument"], match["text"])
        for number, match in enumerate(found, 1)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SCRIPTS = [block for block in BLOCKS if block.language == "python" and block.rule is None]
TEST_FILES = [
    block
    for block in BLOCKS
    if block.rule == "file" and Path(block.argument or "").name.startswith("test_")
]
Run = Callable[..., str]
COMMAND = ("-c", "import sys; from energybench.app.cli import main; sys.exit(main())")
"""The `energybench` command, whatever is installed."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Page -> the folder with its files, laid out as an installed package."""
    made = {}
    for page in PAGES:
        folder = made[page] = tmp_path_factory.mktemp(page.stem)
        for block in blocks_of(page):
            if block.rule == "file" and block.argument:
                path = folder / block.argument
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        if (folder / "pyproject.toml").exists():
            install(folder, folder)
    return made


@pytest.fixture
def run(folders: dict[Path, Path], tmp_path: Path) -> Run:
    """Run `python ARGUMENTS` beside the files of a page and return what it prints."""

    def start(page: Path, *arguments: str, cwd: Path | None = None) -> str:
        folder = folders[page]
        mine = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(part for part in mine if part),
            "ENERGYBENCH_CACHE": str(tmp_path / "cache"),
            "ENERGYBENCH_LOCKS": str(tmp_path / "locks"),
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("PYTEST_XDIST_WORKER", None)
        (tmp_path / "locks").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    return start


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_a_script_runs(block: Block, run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(block.text, encoding="utf-8")
    run(block.page, str(script))


@pytest.fixture
def energy(tmp_path: Path) -> list[str]:
    """Options of a session that replays its energy."""
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps({"watts": {"cpu:0": 50.0}, "seconds_per_read": 1.0}))
    return ["--energy-meter=replay", f"--energy-replay={trace}", "--energy-idle=0"]


@pytest.mark.parametrize("block", TEST_FILES, ids=str)
def test_a_file_of_tests_passes(block: Block, run: Run, energy: list[str]) -> None:
    assert block.argument
    printed = run(block.page, "-m", "pytest", "-p", "no:cacheprovider", *energy, block.argument)
    assert re.search(r"=+ \d+ passed in ", printed)
    assert "energybench: " in printed, "no table of energy"


def test_the_executor_runs_the_cells(
    run: Run, energy: list[str], folders: dict[Path, Path]
) -> None:
    page = ROOT / "docs/extending.md"
    chosen = ["--energy-executor=kept", "-k", "baseline", "test_cells.py"]
    run(page, "-m", "pytest", "-p", "no:cacheprovider", *energy, *chosen)
    (line,) = (folders[page] / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()
    outcome = json.loads(line)
    assert outcome["record"]["method"] == "baseline"
    assert outcome["seconds"] > 0.0


def test_everything_registered_in_the_pages_is_listed_and_loads(run: Run) -> None:
    page = ROOT / "docs/extending.md"
    project = tomllib.loads(
        next(block.text for block in blocks_of(page) if block.language == "toml")
    )
    listed = run(page, *COMMAND, "list")
    groups = project["project"]["entry-points"]
    for points in groups.values():
        for name in points:
            assert re.search(rf"\b{name}\b", listed), f"energybench list does not name {name}"
    code = (
        "import energybench.registry as known\n"
        "kinds = (known.MODELS, known.METHODS, known.DATASETS, known.METERS, known.EXECUTORS)\n"
        "groups = {f'energybench.{kind.kind.replace(chr(32), str())}s': kind for kind in kinds}\n"
        f"for group, points in {groups!r}.items():\n"
        "    for name in points:\n"
        "        assert groups[group].get(name) is not None\n"
    )
    run(page, "-c", code)


def test_the_model_has_as_many_parameters_as_the_page_says(run: Run) -> None:
    code = (
        "import torch\n"
        "from my_energy.networks import little, resnet152\n"
        "for spec, classes in ((little, 10), (resnet152, 1000)):\n"
        "    with torch.device('meta'):\n"
        "        model = spec.build(classes)\n"
        "    assert sum(p.numel() for p in model.parameters()) == spec.parameters, spec\n"
    )
    run(ROOT / "docs/extending.md", "-c", code)


def test_the_method_passes_the_contract(run: Run) -> None:
    contract = "tests/compression/test_contract.py"
    printed = run(
        ROOT / "docs/extending.md",
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "head-only", contract),
        cwd=ROOT,
    )
    assert re.search(r"\d+ passed", printed)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_that_does_not_run_says_why(block: Block) -> None:
    if block.rule == "no-run":
        assert block.argument, "give a reason"
    if block.rule == "file":
        assert block.argument, "name the file"
        assert not Path(block.argument).is_absolute()
        assert ".." not in Path(block.argument).parts


def test_every_fence_is_closed_and_found() -> None:
    for page in PAGES:
        fences = re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), page.name


def links() -> Iterator[tuple[Path, str]]:
    for page in ALL_PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                yield page, target


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda value: Path(value).name)
def test_a_link_leads_to_a_file(page: Path, target: str) -> None:
    assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.fixture(scope="session")
def written() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in ALL_PAGES)


def test_every_option_in_the_pages_exists(written: str) -> None:
    named = set(re.findall(r"--energy-[a-z]+(?:-[a-z]+)*", written))
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = set(re.findall(r"--energy-[a-z]+(?:-[a-z]+)*", help_text))
    assert named - known == set()


def test_every_command_in_the_pages_exists(written: str) -> None:
    fenced = "\n".join(block.text for page in ALL_PAGES for block in blocks_of(page))
    named = set(re.findall(r"^energybench ([a-z]+)", fenced, re.MULTILINE))
    named |= set(re.findall(r"`energybench ([a-z]+)", written))
    help_text = subprocess.run(
        [sys.executable, *COMMAND, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = set(re.findall(r"^    ([a-z]+)\b", help_text, re.MULTILINE))
    assert named - known == set()
