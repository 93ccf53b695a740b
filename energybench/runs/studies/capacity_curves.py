"""Curves of a pretrained network's accuracy over overwritten bits, for each way to overwrite."""

from collections.abc import Callable

from energybench.compression.bits import Fill, Rounding
from energybench.compression.capacity import Capacity, Scope, Strategy, capacity
from energybench.errors import CellError, is_out_of_memory
from energybench.runs.session import Session

WAYS: dict[str, tuple[Fill, Rounding]] = {
    "cleared": ("zeros", "truncate"),
    "rounded": ("zeros", "nearest"),
    "random": ("random", "truncate"),
}
"""Name -> (fill, rounding): cleared as by `stego`, rounded to nearest, or random bits."""


def capacity_curves(
    session: Session,
    model: str,
    scope: Scope = "weights",
    strategy: Strategy = "sweep",
    per_layer: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Capacity]:
    """Return the capacity of `model` in each of `WAYS`, by "model, way", with its curve.

    Scores are measured on the validation split, with the tolerance of the run. `say` is called with
    each step, such as "resnet18: cleared". See `compression.capacity.capacity` for the other
    arguments. Raises `CellError` if memory runs out.
    """
    network, _ = session.pretrained(model).load(session.device)
    score = session.score(model, seed=0)
    found = {}
    for way, (fill, rounding) in WAYS.items():
        say(f"{model}: {way}")
        try:
            found[f"{model}, {way}"] = capacity(
                network,
                score,
                session.config.tolerance,
                fill=fill,
                scope=scope,
                strategy=strategy,
                rounding=rounding,
                per_layer=per_layer,
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise CellError(f"out of memory with {model}; try --device=cpu") from error
    return found
