"""Rules of options: a field of a dataclass declares its default, bounds, choices and help once."""

import math
import re
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from energybench.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """The values that one option accepts, and the words that describe it."""

    help: str
    _: KW_ONLY
    name: str | None = None
    """The option's name where it differs from the field's: "idle" for `idle_s`."""
    default_text: str | None = None
    """The default in words, where its value says too little."""
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """Regular expression that the whole text must match; the help then names the valid texts."""
    word: str | None = None
    """A text that is accepted in place of a number, for instance "auto"."""
    repeats: bool = False
    """Whether a flag that is given several times adds up, instead of the last one counting."""
    bare: str | None = None
    """The value of a flag that is given without one; None where a flag needs a value."""

    def problem(self, value: object) -> str | None:
        """Why `value` is refused, as "it must be at least 2"; None for a valid one."""
        if isinstance(value, str):
            return self._problem_of_text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._problem_of_number(value)
        if isinstance(value, tuple) and self.choices:
            return next(filter(None, map(self._problem_of_text, value)), None)
        return None

    def _problem_of_text(self, text: str) -> str | None:
        if not text.strip():
            return "give it a value, or leave it out"
        if self.choices and text not in self.choices:
            return f"known: {', '.join(self.choices)}"
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            return f"use {self.help.replace('`', '')}"
        return None

    def _problem_of_number(self, number: float) -> str | None:
        if self.at_least is not None and not number >= self.at_least:  # NaN is not, either
            return f"it must be at least {self.at_least:,.10g}"
        if self.at_most is not None and number > self.at_most:
            return f"it must be at most {self.at_most:,.10g}"
        return "it must be finite" if abs(number) == math.inf else None


def option(default: T, help: str, **rule: Any) -> T:
    """Declare a field of a dataclass as an option; `rule` has the other arguments of `Rule`."""
    made: T = field(default=default, metadata={"rule": Rule(help, **rule)})
    return made


def check(config: "DataclassInstance") -> None:
    """Raise `UsageError` for the first field of `config` whose value its rule refuses."""
    for one in fields(config):
        value = getattr(config, one.name)
        if "rule" not in one.metadata or value == one.default:
            continue
        problem = one.metadata["rule"].problem(value)
        if problem is not None:
            raise UsageError(f"{one.name} is {shown(value)}; {problem}")


def shown(value: object) -> str:
    """A refused value as an error cites it: short, and visible if it is empty."""
    text = str(value)
    return "empty" if not text.strip() else text if len(text) <= 100 else f"{text[:100]}..."
