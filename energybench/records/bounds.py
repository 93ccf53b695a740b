"""Numbers that a measurement can have: a file may hold any, and arithmetic fails on some."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.records.metric import ACCURACY

if TYPE_CHECKING:
    from energybench.energy.readings import EnergyReading
    from energybench.records.record import RunRecord

MOST = 1e39
"""The largest magnitude: beyond any loss in 32 bits, and far from an overflow of a square."""
_SEEDS = 2**63

Named = tuple[str, float | None]
"""A field as `test.value`, and its number."""


def check_magnitudes(data: Any, noun: str) -> None:
    """Raise `UsageError` for a number beyond `MOST` anywhere in plain dicts and lists.

    NaN and the infinities pass: a loss may be one.
    """
    for where, value in _numbers(data, ()):
        if math.isinf(value):
            continue
        if abs(value) > MOST:
            name = ".".join(map(str, where))
            raise UsageError(f"not an energybench {noun}: {name} is larger than any measurement")


def _numbers(data: Any, where: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], float]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _numbers(value, (*where, key))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from _numbers(value, (*where, place))
    elif isinstance(data, float):
        yield where, data
    elif isinstance(data, int):  # a huge one has no float
        yield where, min(max(data, -_HUGE), _HUGE)


_HUGE = 10**300


def check_record(record: "RunRecord") -> None:
    """Raise `UsageError` for an energy, a duration, a count or an accuracy that cannot be.

    The machine's parts that others read must have their shape, too.
    """
    _check_machine(record.machine)
    for where, value in _not_negative(record):
        if value is not None and not 0 <= value < math.inf:
            raise UsageError(_refusal(where, value, "a number of at least 0"))
    for where, value in _positive(record):
        if not value > 0:
            raise UsageError(_refusal(where, value, "a number above 0"))
    if record.metric in (None, ACCURACY):
        for where, value in _accuracies(record):
            if value is not None and not (math.isnan(value) or 0 <= value <= 1):
                raise UsageError(_refusal(where, value, "an accuracy, 0 to 1"))


def _check_machine(machine: Mapping[str, Any]) -> None:
    gpus, versions = machine.get("gpus"), machine.get("versions")
    shaped = gpus is None or (isinstance(gpus, list) and all(map(_is_flat, gpus)))
    if not shaped:
        raise UsageError("not an energybench record: machine.gpus is no list of flat objects")
    if not (versions is None or _is_flat(versions)):
        raise UsageError("not an energybench record: machine.versions is no flat object")


def _is_flat(value: object) -> bool:
    """Whether `value` is a dict without lists or dicts in it."""
    if not isinstance(value, dict):
        return False
    return not any(isinstance(one, list | dict) for one in value.values())


_RATES = (
    *("seconds_per_step", "bytes_per_step", "seconds_per_1000_images", "images_per_s"),
    *("ceiling_flops_per_s", "ceiling_bytes_per_s", "seconds_per_answer"),
    *("prefill_seconds_per_1000_tokens", "decode_seconds_per_1000_tokens", "seconds"),
)
"""Fields of studies that others are divided by."""
_ENERGIES = (
    *("joules_per_step", "joules_per_1000_images", "joules_per_image", "joules_per_answer"),
    *("prefill_joules_per_1000_tokens", "decode_joules_per_1000_tokens", "joules"),
)


def check_study(found: Any) -> None:
    """Raise `UsageError` for a rate of a study that is not above 0, or a negative energy."""
    for one in (found, *getattr(found, "points", ())):
        for name in _RATES:
            value = getattr(one, name, 1.0)
            if not 0 < value < math.inf:
                raise UsageError(_refusal(name, value, "a number above 0", "study"))
        for name in _ENERGIES:
            value = getattr(one, name, None)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(_refusal(name, value, "a number of at least 0", "study"))


def _refusal(where: str, value: float | None, expected: str, noun: str = "record") -> str:
    return f"not an energybench {noun}: {where} is {value}, not {expected}"


def _not_negative(record: "RunRecord") -> Iterator[Named]:
    yield "protocol.tolerance", record.protocol.tolerance
    yield "seed", record.seed if record.seed < _SEEDS else math.inf
    for kind in ("phases", "overhead"):
        readings: Mapping[str, EnergyReading] = getattr(record, kind)
        for name, reading in readings.items():
            yield from _of_reading(f"{kind}.{name}", reading)
    for name, spans in record.spans.items():
        for number, span in enumerate(spans):
            yield f"spans.{name}.{number}.duration_s", span.duration_s
            yield f"spans.{name}.{number}.joules", span.joules
    for name, mean in record.intensities.items():
        yield f"intensities.{name}.kg_per_kwh", mean.kg_per_kwh
    if record.carbon is not None:
        yield "carbon.kg_per_kwh", record.carbon.kg_per_kwh
    yield "embodied_g_per_hour", record.embodied_g_per_hour
    for number, attempt in enumerate(record.attempts):
        if attempt.finetune is not None:
            yield from _of_reading(f"attempts.{number}.finetune", attempt.finetune)
    for number, epoch in enumerate(record.epochs):
        for field in ("duration_s", "joules", "steps", "items"):
            yield f"epochs.{number}.{field}", getattr(epoch, field)
    for number, logged in enumerate(record.script.epochs if record.script else ()):
        yield f"script.epochs.{number}.duration_s", logged.duration_s
        yield f"script.epochs.{number}.joules", logged.joules
    if record.target is not None:
        yield "target.joules", record.target.joules
    if record.test is not None:
        yield "test.items", record.test.items


def _of_reading(where: str, reading: "EnergyReading") -> Iterator[Named]:
    yield f"{where}.duration_s", reading.duration_s
    for domain, joules in reading.joules.items():
        yield f"{where}.joules.{domain}", joules


def _positive(record: "RunRecord") -> Iterator[tuple[str, float]]:
    yield "protocol.pue", record.pue if math.isfinite(record.pue) else math.nan
    for number, epoch in enumerate(record.epochs):
        yield f"epochs.{number}.items_per_s", epoch.items_per_s


def _accuracies(record: "RunRecord") -> Iterator[Named]:
    yield "test.value", record.value
    yield "reference_value", record.reference_value
    yield "weights.test_value", record.weights.test_value
    for number, epoch in enumerate(record.epochs):
        yield f"epochs.{number}.validation_metric", epoch.validation_metric
    if record.start is not None:
        yield "start.pretrained.value", record.start.pretrained.value
        yield "start.compressed.value", record.start.compressed.value
