"""The targets that `--energy-export` names, and what becomes of one that fails."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.app.exporting.measurements import Measurement

_KNOWN = "use prometheus:FILE.prom or otlp"


class Target(Protocol):
    """A place that takes measurements."""

    def send(self, measurements: "Iterable[Measurement]") -> bool:
        """Take measurements now, or later; return whether all has arrived.

        Raises `UsageError` where that fails.
        """

    def close(self) -> bool:
        """Take what waits, at the end of the session; otherwise as `send`."""


def check_target(text: str) -> str:
    """Return the name of a target; raises `UsageError` for one that cannot be."""
    kind, colon, file = text.partition(":")
    if text == "otlp":
        return text
    if kind == "otlp":
        raise UsageError("otlp takes its endpoint from OTEL_EXPORTER_OTLP_ENDPOINT; write otlp")
    if kind != "prometheus" or not colon:
        raise UsageError(f"unknown target {text!r}; {_KNOWN}")
    if not file.endswith(".prom"):
        raise UsageError(f"node_exporter reads files that end in .prom, not {file!r}; {_KNOWN}")
    return text


class Exports:
    """All targets of one session. One that fails costs a line, and nothing else."""

    def __init__(self, names: Sequence[str], say: Callable[[str], None]) -> None:
        """Open the targets called `names`; `say` prints a line.

        Raises `UsageError` where a library is missing.
        """
        self._targets = {name: _opened(name) for name in dict.fromkeys(names)}
        self._failing: set[str] = set()
        self._say = say

    def add(self, measurements: "Iterable[Measurement]") -> None:
        """Send measurements to every target; a later one of the same thing replaces an earlier."""
        found = list(measurements)
        for name, target in self._targets.items():
            self._try(name, lambda target=target: target.send(found))  # type: ignore[misc]

    def close(self) -> None:
        """Let every target take what waits."""
        for name, target in self._targets.items():
            self._try(name, target.close)

    def _try(self, name: str, act: Callable[[], bool]) -> None:
        """Act on a target; its first failure, and the first after a success, is a line."""
        try:
            arrived = act()
        except UsageError as error:
            if name not in self._failing:
                self._say(f"energybench: --energy-export={name}: {error}")
            self._failing.add(name)
        else:
            if arrived:
                self._failing.discard(name)


def _opened(name: str) -> Target:
    kind, _, file = name.partition(":")
    if kind == "otlp":
        from energybench.app.exporting.otlp import Otlp

        return Otlp()
    from energybench.app.exporting.prometheus import TextFile

    return TextFile(file)
