"""The assumptions behind an estimated energy: watts that were looked up, guessed or declared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Assumptions:
    """The figures that a formula turned into joules."""

    estimator: str
    """The program that estimates, with its version: "codecarbon 3.3.2"."""
    processor: str | None
    """The processor as the estimator names it; None where it found none."""
    processor_known: bool
    """Whether the estimator's table has the processor; otherwise its watts are a fallback."""
    cpu_watts: float | None
    """Watts of the processor at full load; None if the processor is not estimated."""
    cpu_threads: int | None
    """Threads that `cpu_watts` is the sum of; None where that is not known."""
    mode: str | None
    """How the load enters: "cpu_load" for watts by load, "constant" for a constant share."""
    ram_watts: float | None
    """Watts of the memory, whatever its load; None if the memory is not estimated."""
    declared: tuple[str, ...] = ()
    """The domains' kinds (`cpu`, `dram`) whose watts the user declared."""
