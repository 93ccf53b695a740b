"""Dataclasses out of JSON that may be older than this energybench, newer, or something else."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from energybench.errors import UsageError
from energybench.records.bounds import check_magnitudes

T = TypeVar("T")


class NewerSchemaError(UsageError):
    """The data were written by a newer energybench, which can read them."""


Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""Schema version -> the step that turns such data into data of the next version."""


def read_versioned(
    data: Any, kind: type[T], noun: str, newest: int, migrations: Migrations | None = None
) -> T:
    """The dataclass `kind` out of plain dicts, lists and numbers with a `schema_version`.

    Data of an older version go through `migrations` up to version `newest`. Raises
    `NewerSchemaError` for a newer version, and `UsageError` for another shape or a number beyond
    `bounds.MOST`; the messages call the data a `noun`.
    """
    from pydantic import ValidationError

    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise UsageError(f"not an energybench {noun}: it has no schema_version; record it again")
    if version > newest:
        raise NewerSchemaError(
            f"the {noun} has schema version {version}, this energybench reads up to {newest}; "
            "upgrade energybench to read it"
        )
    check_magnitudes(data, noun)
    steps = migrations or {}
    while version < newest:
        if version not in steps:
            raise UsageError(f"no migration from schema version {version}; record it again")
        data = steps[version](data)
        version += 1
    try:
        found: T = _adapter(cast(Any, kind)).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"not an energybench {noun}: {where}: {first['msg']}") from error
    return found


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter  # here: costs 0.1 s, needed only to read
    from pydantic_core import SchemaValidator

    return SchemaValidator(_strict(TypeAdapter(kind).core_schema))


def _strict(schema: Any) -> Any:
    """A schema of pydantic's in which neither `true` nor a text is a number.

    Keys of dicts may be numbers as text, since JSON has no other keys.
    """
    if isinstance(schema, dict):
        found = {key: one if key == _KEYS else _strict(one) for key, one in schema.items()}
        return found | {"strict": True} if found.get("type") in _NUMBERS else found
    if isinstance(schema, list | tuple):
        return type(schema)(map(_strict, schema))
    return schema


_NUMBERS = ("int", "float", "bool")
_KEYS = "keys_schema"
