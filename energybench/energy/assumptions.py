"""The assumptions behind an estimated energy: watts that were looked up, guessed or declared."""

from collections.abc import Iterator
from dataclasses import dataclass

FORMULAS = {
    "cpu_load": "10 % of them at rest, the rest by the cube of the load",
    "constant": "half of them whatever the load",
}
"""Mode -> how CodeCarbon's watts follow the load (`external/hardware.py`, version 3.3.2)."""


@dataclass(frozen=True)
class Assumptions:
    """The figures that a formula turned into joules; as text, one line that names them all."""

    estimator: str
    """The program that estimates, with its version: "codecarbon 3.3.2"."""
    processor: str | None
    """The processor as the estimator names it; None where it found none or does not estimate it."""
    processor_known: bool | None
    """Whether the estimator's table has the processor; otherwise its watts are a fallback. None
    where nothing was looked up: the watts are declared, or the processor is not estimated."""
    cpu_watts: float | None
    """Watts of the processor at full load; None if no formula estimates the processor."""
    cpu_threads: int | None
    """Threads whose sum `cpu_watts` is, each with the same fallback; None for other watts."""
    mode: str | None
    """How the load enters, a key of `FORMULAS`; otherwise the name of the processor's counter that
    the estimator reads by itself, such as "intel_rapl". None if it leaves the processor alone."""
    ram_watts: float | None
    """Watts of the memory, whatever its load; None if no formula estimates the memory."""
    declared: tuple[str, ...] = ()
    """The domains' kinds (`cpu`, `dram`) whose watts the user declared."""

    @property
    def watts_per_thread(self) -> float | None:
        """The fallback's watts for one thread; None where there is no fallback by threads."""
        if self.cpu_watts is None or not self.cpu_threads:
            return None
        return self.cpu_watts / self.cpu_threads

    def __str__(self) -> str:
        return f"{self.estimator}: {', '.join(self._parts())}"

    def _parts(self) -> Iterator[str]:
        if self.cpu_watts is not None:
            yield self._processor()
            if self.mode in FORMULAS:
                yield FORMULAS[self.mode]
        elif self.mode is not None:
            yield f"processor by its own counter {self.mode}"
        if self.ram_watts is not None:
            said = " as declared" if "dram" in self.declared else ""
            yield f"memory {self.ram_watts:g} W{said} whatever it does"

    def _processor(self) -> str:
        name = f" ({self.processor})" if self.processor else ""
        if "cpu" in self.declared:
            return f"processor{name} {self.cpu_watts:g} W at full load as declared"
        if self.processor_known:
            return f"processor{name} {self.cpu_watts:g} W at full load from its table"
        if self.watts_per_thread is None:
            return f"processor{name} not in its table, {self.cpu_watts:g} W at full load"
        each = f"{self.watts_per_thread:g} W a thread x {self.cpu_threads} threads"
        return f"processor{name} not in its table, {each} at full load"
