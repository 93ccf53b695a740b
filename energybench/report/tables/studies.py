"""The tables of a report for studies of hardware: steps, throughput, answers, points, checks."""

from collections.abc import Sequence

from energybench.energy.units import format_joules, format_seconds
from energybench.records.studies import Check, Intensity
from energybench.registry import BASELINE, base_name
from energybench.report.operating_points import front, mean_points
from energybench.report.sections import Section
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import number, percent

_ARITHMETICS = ("fp32", "default", "tf32", "bf16")
"""Columns of the joules per image, as far as there are any; each with its compiled steps."""


def study_tables(section: Section) -> list[tuple[str, Table]]:
    """Return (title, table) of the studies of hardware that the section has."""
    found = []
    if section.checks:
        found.append(("Checks of the machine", _check_table(section)))
    images = _arithmetic_table(section.intensities)
    if images is not None:
        found.append(("Joules per image of a training step, by arithmetic", images))
    if section.throughputs:
        found.append(("Training throughput", _throughput_table(section)))
    if section.intensities:
        found.append(("Steps against the device's ceilings", _intensity_table(section)))
    if section.inferences:
        found.append(("Answers, in numbers", _inference_table(section)))
    if section.operating_points:
        found.append(("Operating points", _operating_table(section)))
    return found


def _throughput_table(section: Section) -> Table:
    headers = (
        *("model", "arithmetic", "compiled", "memory format", "pixels", "batch", "images/s"),
        *("J/image", "MFU", "timm images/s", "timm J/image", "images/s over timm's"),
    )
    rows = tuple(
        (
            one.model,
            one.precision,
            "yes" if one.compiled else "no",
            one.memory_format.replace("_", " "),
            str(one.image_size),
            str(one.batch_size),
            number(one.images_per_s),
            number(one.joules_per_image),
            percent(one.utilisation, 0),
            number(one.timm_images_per_s),
            number(one.timm_joules_per_image),
            number(one.over_timm),
        )
        for one in section.throughputs
    )
    return Table(headers, rows, frozenset(range(4, len(headers))))


def _intensity_table(section: Section) -> Table:
    headers = (
        *("model", "method", "arithmetic", "GFLOP/step", "GB/step (estimate)", "FLOP/byte"),
        *("GFLOP/s", "of ceiling", "ms/step", "J/step", "J/image", "pJ/FLOP"),
    )
    rows = tuple(
        (
            one.model,
            one.method,
            one.arithmetic,
            number(one.flops_per_step / 1e9),
            number(one.bytes_per_step / 1e9),
            number(one.intensity),
            number(one.flops_per_s / 1e9),
            percent(one.flops_per_s / one.ceiling_flops_per_s, 0),
            number(1e3 * one.seconds_per_step),
            number(one.joules_per_step),
            number(one.joules_per_image),
            number(None if one.joules_per_flop is None else 1e12 * one.joules_per_flop),
        )
        for one in section.intensities
    )
    return Table(headers, rows, frozenset(range(3, len(headers))))


def _inference_table(section: Section) -> Table:
    headers = ("model", "method", "arithmetic", "batch", "J per 1,000 images", "s per 1,000 images")
    rows = tuple(
        (
            one.model,
            one.method,
            one.precision,
            str(point.batch_size),
            number(point.joules_per_1000_images),
            number(point.seconds_per_1000_images),
        )
        for one in section.inferences
        for point in one.points
    )
    return Table(headers, rows, frozenset(range(3, len(headers))))


def _operating_table(section: Section) -> Table:
    points = mean_points(section.operating_points)
    best = front(points)
    headers = (
        *("model", "method", "batch", "arithmetic", "power limit", "seeds", "epochs"),
        *("time", "energy (IT)", points[0].metric.name, "on the front"),
    )
    rows = tuple(
        (
            one.model,
            one.method,
            str(one.batch_size),
            one.precision,
            "-" if one.power_limit_w is None else f"{one.power_limit_w:g} W",
            str(one.seeds),
            number(one.epochs),
            format_seconds(one.seconds),
            format_joules(one.joules),
            one.score,
            "yes" if one in best else "no",
        )
        for one in points
    )
    caption = (
        "A point is on the front where no other one is as good in time, energy and metric, and "
        "better in one of them. Points closer than the noise of a run may change places."
    )
    return Table(headers, rows, frozenset((2, *range(4, len(headers) - 1))), caption)


def _arithmetic_table(found: Sequence[Intensity]) -> Table | None:
    """Return a table of uncompressed networks by arithmetics; None for one arithmetic alone."""
    own = [one for one in found if base_name(one.method).startswith(BASELINE)]
    columns = [
        name
        for precision in _ARITHMETICS
        for name in (precision, f"{precision}, compiled")
        if any(one.arithmetic == name for one in own)
    ]
    if len(columns) < 2:
        return None
    by_place: dict[tuple[str, str, str], dict[str, str]] = {_place(one): {} for one in own}
    for one in own:
        by_place[_place(one)].setdefault(one.arithmetic, number(one.joules_per_image))
    rows = tuple(
        (*place, *(cells.get(name, "-") for name in columns)) for place, cells in by_place.items()
    )
    headers = ("model", "pixels", "batch", *(_heading(name) for name in columns))
    return Table(headers, rows, frozenset(range(1, len(headers))))


def _place(one: Intensity) -> tuple[str, str, str]:
    return one.model, str(one.image_size), str(one.batch_size)


def _heading(arithmetic: str) -> str:
    return arithmetic.replace("default", "PyTorch's default")


def _check_table(section: Section) -> Table:
    rows = tuple(
        (one.name, one.found or "-", one.expected or "-", _verdict(one), one.reason)
        for one in section.checks
    )
    return Table(("check", "found", "expected", "held", "note"), rows, frozenset())


def _verdict(one: Check) -> str:
    return {True: "yes", False: "no", None: "-"}[one.held]
