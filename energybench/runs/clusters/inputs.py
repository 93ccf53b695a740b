"""What a plan must know of the data and the weights before any job runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.config import Cell, RunConfig
from energybench.errors import EnergybenchError
from energybench.progress import Progress
from energybench.records.schema import read_versioned
from energybench.registry import MODELS
from energybench.runs.clusters.plan import Plan

if TYPE_CHECKING:
    from energybench.workloads.base import PreparedData


@dataclass(frozen=True)
class Inputs:
    """Data and weights as this machine sees them."""

    fingerprint: str
    """Of the data."""
    weights_missing: bool
    """Whether networks must be pretrained before they can be fine-tuned."""
    sizes: dict[str, float]
    """Model -> its parameters; a model that does not say is left out."""


def inputs_of(config: RunConfig, cells: Sequence[Cell]) -> Inputs:
    """Look at the data and the weights of `cells`; raises `UsageError` for data that do not open.

    This machine need not have the device of the run.
    """
    import torch

    from energybench.runs.startup import source_of

    cpu = torch.device("cpu")
    data = source_of(config).prepare((), cpu, config.data, Progress(None), lambda line: None)
    sizes = {model: _parameters(model) for model in dict.fromkeys(cell.model for cell in cells)}
    known = {model: size for model, size in sizes.items() if size is not None}
    return Inputs(data.fingerprint, _weights_missing(config, data, cells), known)


def config_of(plan: Plan) -> RunConfig:
    """The configuration of a plan; raises `UsageError` where it is not one."""
    return read_versioned({**plan.config, "schema_version": 1}, _Config, "plan", 1).config


@dataclass(frozen=True)
class _Config(RunConfig):
    schema_version: int = 1

    @property
    def config(self) -> RunConfig:
        values = {name: getattr(self, name) for name in RunConfig.__dataclass_fields__}
        return RunConfig(**values)


def _parameters(model: str) -> float | None:
    found = getattr(MODELS.get(model), "parameters", None)
    return float(found) if isinstance(found, int) else None


def _weights_missing(config: RunConfig, data: "PreparedData", cells: Sequence[Cell]) -> bool:
    """Whether networks are pretrained on the data themselves, and one is not yet."""
    from energybench.runs.session import varies
    from energybench.training.device import find_device, with_all_threads
    from energybench.workloads.base import Varies

    if not varies(data, config):
        return False
    try:
        device = find_device(config.device)
        for model, seed in dict.fromkeys((cell.model, cell.seed) for cell in cells):
            of_seed = data
            if config.vary != "order" and isinstance(data, Varies):
                of_seed = data.varied(seed)
            with with_all_threads():  # their number is part of the name of the weights
                path = of_seed.task(model, config.weights, device).weights.path
            if path is not None and not path.exists():
                return True
    except EnergybenchError:  # the login node lacks the device of the run
        return True
    return False
