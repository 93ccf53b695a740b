"""The plan of a run on a cluster: its command, its blocks of cells, and what they must find."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from energybench import __version__
from energybench.config import Cell
from energybench.errors import UsageError
from energybench.files import publish
from energybench.records.run_folder import JOURNALS, PLAN
from energybench.records.schema import read_versioned

PLAN_VERSION = 1
_UNSAFE = re.compile(r"[^\w.@+-]")


@dataclass(frozen=True)
class Block:
    """The cells of one model and seed: they run on one machine, in one session."""

    model: str
    seed: int
    methods: tuple[str, ...]
    """In the order in which they run; a method is there once per tolerance."""

    @property
    def cells(self) -> list[Cell]:
        """Its cells, each once."""
        return [Cell(self.model, method, self.seed) for method in dict.fromkeys(self.methods)]


@dataclass(frozen=True)
class ArrayTask:
    """One block on one kind of machine: a task of an array of Slurm, what one job runs."""

    number: int
    """Its number within the plan, from 0."""
    kind: str | None
    """The kind of machine as the cluster calls it; None where the plan names no kinds."""
    block: Block

    @property
    def name(self) -> str:
        """The name of its journal and its log, such as `0003-h100-resnet18-seed1`."""
        parts = (f"{self.number:04d}", self.kind, self.block.model, f"seed{self.block.seed}")
        return "-".join(_UNSAFE.sub("_", part) for part in parts if part)


@dataclass(frozen=True)
class Plan:
    """A whole run, as its folder's `plan.json` has it."""

    id: str
    """8 hexadecimal digits, in the names of its jobs."""
    made_at: str
    """Date and time in UTC, ISO 8601."""
    arguments: tuple[str, ...]
    """pytest's arguments."""
    directory: str
    """The working directory of every job."""
    python: str
    """The interpreter of every job."""
    energybench: str
    """Its version; a job of another version refuses to run."""
    commit: str | None
    """The commit of `directory`, `-dirty` behind it where files differ; None outside of git."""
    config: dict[str, Any]
    """The values of the run, as `dataclasses.asdict` makes them of a `RunConfig`."""
    data: str
    """The fingerprint of the data; a node whose data have another one refuses to run."""
    kinds: tuple[str, ...]
    """The kinds of machine; every block runs on each. Empty for one kind without a name."""
    blocks: tuple[Block, ...]
    """Those that take longest first."""
    nodes: int = 1
    """Machines that run one cell together."""
    ranks: int = 1
    """Processes of a cell per machine."""
    schema_version: int = PLAN_VERSION

    @property
    def tasks(self) -> list[ArrayTask]:
        """Every block on every kind."""
        pairs = [(kind, block) for kind in self.kinds or (None,) for block in self.blocks]
        return [ArrayTask(number, kind, block) for number, (kind, block) in enumerate(pairs)]

    def task(self, number: int) -> ArrayTask:
        """The task with that number; raises `UsageError` where there is none."""
        tasks = self.tasks
        if not 0 <= number < len(tasks):
            raise UsageError(f"the plan has no block {number}; it has 0 to {len(tasks) - 1}")
        return tasks[number]

    def of_kind(self, kind: str | None) -> list[ArrayTask]:
        """The tasks on one kind of machine.

        Raises `UsageError` for a kind that the plan lacks, and for none where it has several.
        """
        names = ", ".join(self.kinds)
        if kind is None and len(self.kinds) > 1:
            raise UsageError(f"the run is on several kinds of machine; name one of {names}")
        if kind is not None and kind not in self.kinds:
            known = f"it has {names}" if names else "it names no kinds"
            raise UsageError(f"the run has no kind {kind!r}; {known}")
        return [task for task in self.tasks if kind is None or task.kind == kind]


def blocks_of(cells: Iterable[Cell]) -> list[Block]:
    """Group cells by model and seed, in their order."""
    found: dict[tuple[str, int], list[str]] = {}
    for cell in cells:
        found.setdefault((cell.model, cell.seed), []).append(cell.method)
    return [Block(model, seed, tuple(methods)) for (model, seed), methods in found.items()]


def longest_first(blocks: Sequence[Block], size_of: dict[str, float]) -> list[Block]:
    """Sort blocks by the size of their model times the number of their cells, largest first.

    `size_of` maps a model to any measure of its time, such as its parameters. A cluster starts
    jobs in their order; with the longest first, the last ones to end are short.
    """
    return sorted(
        blocks, key=lambda block: size_of.get(block.model, 0.0) * len(block.methods), reverse=True
    )


class RunFolder:
    """The folder of a run on a cluster, which all of its machines see."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def plan_path(self) -> Path:
        """The file of the plan."""
        return self.path / PLAN

    @property
    def logs(self) -> Path:
        """The folder of what the jobs print."""
        return self.path / "log"

    @property
    def checkpoints(self) -> Path:
        """The folder of the cells that are under way, with `--energy-checkpoint`."""
        return self.path / JOURNALS / "checkpoints"

    def journal(self, task: ArrayTask) -> Path:
        """The journal of a task."""
        return self.path / JOURNALS / f"{task.name}.jsonl"

    def live(self, task: ArrayTask) -> Path:
        """The file that says what a task does now."""
        return self.path / "live" / f"{task.name}.json"

    def plan(self) -> Plan:
        """Read the plan; raises `UsageError` where there is none, or one of another version."""
        try:
            data = json.loads(self.plan_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(
                f"there is no {self.plan_path} here; name the folder that `energybench submit` "
                "printed, on a file system that this machine shares"
            ) from None
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {self.plan_path} ({error}); submit anew") from error
        plan = read_versioned(data, Plan, "plan", PLAN_VERSION)
        if plan.energybench != __version__:
            raise UsageError(
                f"{self.plan_path} was made by energybench {plan.energybench}, and this is "
                f"{__version__}; go on with that version, or name another folder with --run"
            )
        return plan

    def write(self, plan: Plan) -> None:
        """Make the folder with its plan; raises `UsageError` where that fails."""
        advice = "name a folder that all machines share with --run"
        try:
            for folder in (self.path / JOURNALS, self.logs, self.path / "live"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {self} ({error.strerror}); {advice}") from error
        text = json.dumps(asdict(plan), indent=1) + "\n"
        publish(self.plan_path, lambda file: file.write_text(text, encoding="utf-8"), advice)
