"""Options, declared as fields of dataclasses, and their values, read from text and TOML."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from energybench.app.exporting.targets import check_target
from energybench.errors import UsageError
from energybench.registry import DATASETS, EXECUTORS, METERS, MODELS, method_parts
from energybench.rules import Rule, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

ANSWERS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""Text -> the boolean that it stands for, as in pytest's own options."""


def _dataset(text: str) -> str:
    DATASETS.check(text.partition(":")[0])
    return text


def _wall_meter(text: str) -> str:
    from energybench.energy.meters.wall.address import address_of

    address_of(text)
    return text


def _hwmon(text: str) -> str:
    from energybench.energy.meters.hwmon.meter import declared

    declared(text)
    return text


REGISTERED: Mapping[str, Callable[[str], str]] = {
    "models": MODELS.check,
    "methods": lambda name: "+".join(method_parts(name)),
    "meters": lambda name: name if name == "auto" else METERS.check(name),
    "wall_meter": _wall_meter,
    "hwmon": _hwmon,
    "dataset": _dataset,
    "exports": check_target,
    "executor": lambda name: name if name == "auto" else EXECUTORS.check(name),
}
"""Field -> check of one value; returns it, raises `UsageError` for an unknown or wrong one."""


@dataclass(frozen=True)
class Option:
    """One field that a user can set."""

    path: tuple[str, ...]
    """Fields from the outermost dataclass to this one: ("finetune", "batch_size")."""
    kind: type
    """One of bool, int, float and str; tuple for names, which commas or lines separate in text."""
    rule: Rule
    default: Any

    @property
    def name(self) -> str:
        """The option's name without any prefix: "batch-size"; "" for `--energy` itself."""
        return self.path[-1].replace("_", "-") if self.rule.name is None else self.rule.name

    @property
    def text(self) -> str:
        """The help for a terminal, without the default."""
        return self.rule.help.replace("`", "")

    @property
    def help(self) -> str:
        """The help for a terminal, with the default."""
        return f"{self.text} (default: {self.default_text})" if self.default_text else self.text

    @property
    def default_text(self) -> str:
        """The default as a user would write it; "" if there is nothing to show."""
        if self.rule.default_text is not None:
            return self.rule.default_text
        if self.kind is tuple:
            return ",".join(self.default or ())
        if self.default is None or self.kind is bool:
            return ""
        return f"{self.default:g}" if self.kind is float else str(self.default)

    def read(self, given: object, spelt: str) -> Any:
        """Return the value of `given`: a text, or a number, boolean or list from TOML.

        Raises `UsageError`, whose one line calls the option `spelt`, for instance
        "--energy-batch-size".
        """
        value, problem = self._value(given)
        if problem is None:
            problem = self.rule.problem(value)
        if problem is not None:
            raise UsageError(f"{spelt} is {shown(given)}; {problem}")
        check_name = REGISTERED.get(self.path[-1])
        if check_name is None:
            return value
        try:
            return tuple(map(check_name, value)) if self.kind is tuple else check_name(value)
        except UsageError as error:
            raise UsageError(f"{spelt}: {error}") from error

    def _value(self, given: object) -> tuple[Any, str | None]:
        """Return the value in the option's type, or the reason why it has none."""
        if self.kind is tuple:
            return _names(given)
        if isinstance(given, str):
            return (given, None) if self.kind is str else self._of_text(given.strip())
        if self.kind is float and isinstance(given, int) and not isinstance(given, bool):
            return self._of_text(str(given))
        return (given, None) if type(given) is self.kind else (None, self._expected)

    def _of_text(self, text: str) -> tuple[Any, str | None]:
        if not text:
            return None, "give it a value, or leave it out"
        if text == self.rule.word:
            return text, None
        if self.kind is bool:
            answer = ANSWERS.get(text.lower())
            return answer, self._expected if answer is None else None
        try:
            return self.kind(text), None
        except ValueError:
            return None, self._expected

    @property
    def _expected(self) -> str:
        noun = {bool: "true or false", int: "a whole number", float: "a number"}.get(self.kind)
        word = f", or {self.rule.word}" if self.rule.word else ""
        return f"it must be {noun or 'one text'}{word}"


def _names(given: object) -> tuple[tuple[str, ...], str | None]:
    listed = given.split(",") if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        return (), 'it must be names: "a,b" or ["a", "b"]'
    parts = (one for part in listed for line in part.splitlines() for one in line.split(","))
    names = tuple(name for part in parts if (name := part.strip()))
    return names, None if names else "name at least one"


@cache
def options_of(config: "type[DataclassInstance]") -> Mapping[tuple[str, ...], Option]:
    """Return path -> option, for the fields of `config` and of its dataclasses, in order."""
    return {option.path: option for option in _walk(config, ())}


def _walk(config: "type[DataclassInstance]", outer: tuple[str, ...]) -> Iterator[Option]:
    hints = get_type_hints(config)
    for one in fields(config):
        path = (*outer, one.name)
        if "rule" in one.metadata:
            yield Option(path, _kind(hints[one.name]), one.metadata["rule"], one.default)
        elif is_dataclass(hints[one.name]):
            yield from _walk(hints[one.name], path)


def _kind(annotation: Any) -> type:
    """Return the class within an annotation: int of `int`, tuple of `tuple[str, ...] | None`."""
    if NoneType in get_args(annotation):
        (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    kind: type = get_origin(annotation) or annotation
    return kind


def build(config: type[T], values: Mapping[tuple[str, ...], Any], outer: tuple[str, ...] = ()) -> T:
    """Return an instance of `config` with the given values, by path, and defaults elsewhere."""
    hints = get_type_hints(config)
    given: dict[str, Any] = {}
    for one in fields(config):
        path = (*outer, one.name)
        if is_dataclass(hints[one.name]):
            given[one.name] = build(hints[one.name], values, path)
        elif path in values:
            given[one.name] = values[path]
    return config(**given)
