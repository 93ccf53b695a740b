"""Questions to a machine, and its answers."""

from dataclasses import dataclass, field

from energybench.records.studies.version import SCHEMA_VERSION


@dataclass(frozen=True)
class Check:
    """One question to a machine, and its answer."""

    name: str
    device_name: str
    found: str = ""
    """The answer, numbers with their units; "" where the question could not be asked."""
    expected: str = ""
    """What the answer has to be, where anything is expected."""
    held: bool | None = None
    """Whether it is as expected; None where nothing was expected or found."""
    reason: str = ""
    """Why the question could not be asked, or not in full."""
    figures: dict[str, float | None] = field(default_factory=dict)
    """The numbers in `found`, by a name with their unit, such as `counter_joules`."""
    flags: list[str] = field(default_factory=list)
    kind: str = "check"
    schema_version: int = SCHEMA_VERSION

    @property
    def estimated(self) -> bool:
        """Whether an energy is an estimate: a check is a result of none."""
        return False
