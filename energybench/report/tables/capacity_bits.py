"""Steganographic capacity as tables (arXiv 2308.15502)."""

from collections.abc import Mapping

from energybench.compression.capacity import Capacity
from energybench.errors import UsageError
from energybench.records.metric import ACCURACY, Metric
from energybench.report.quoting import text_table
from energybench.report.text import setting_ends, size


def capacity_table(
    curves: Mapping[str, Capacity], layout: str = "simple", metric: Metric = ACCURACY
) -> str:
    """Return tables as text: `metric` by cleared bits, a summary, and the bits of each layer.

    The table of layers is left out if no capacity has layers. A bit count that was not evaluated is
    "-". `layout` is one of tabulate's table formats. Raises `UsageError` for no curves.
    """
    if not curves:
        raise UsageError("no capacity to show; measure one first")
    values = {label: dict(found.curve) for label, found in curves.items()}
    counts = sorted({bits for curve in values.values() for bits in curve})
    by_bits = [
        [bits, *(_show(metric, one.get(bits)) for one in values.values())] for bits in counts
    ]
    found = [
        [
            label,
            one.fill,
            one.rounding if one.fill == "zeros" else "-",
            _bits(one),
            size(one.capacity_bytes),
            f"{100 * one.bits / 32:.1f} %",
            _show(metric, dict(one.curve)[one.bits]),
            one.evaluations,
            "yes" if one.monotone else "no",
        ]
        for label, one in curves.items()
    ]
    headers = (
        *("", "fill", "rounding", "bits", "capacity", "of 32 bits"),
        *(metric.name, "evaluations", "monotone"),
    )
    right = ["right"] * (1 + len(curves))
    sides = [*["left"] * 3, *["right"] * 5, "left"]
    tables = [
        text_table(by_bits, ["bits", *curves], layout, right),
        text_table(found, headers, layout, sides),
    ]
    if layers := _bits_by_layer(curves):
        sides = ["left"] + ["right"] * (len(layers[0]) - 1)
        names = ["layer alone", "weights", *(f"{label}, bits" for label in curves)]
        tables.append(text_table(layers, names, layout, sides))
    return "\n\n".join(tables)


def _bits(found: Capacity) -> str:
    """Return the bits with their interval over resampled items: "17 [16, 18]"."""
    return f"{found.bits}{setting_ends(found.interval)}"


def _show(metric: Metric, value: float | None) -> str:
    return "-" if value is None else metric.show(value)


def _bits_by_layer(curves: Mapping[str, Capacity]) -> list[list[str]]:
    """Return rows of (layer, its weights, its bits by label), in the network's order."""
    sizes = {name: one.weights for found in curves.values() for name, one in found.layers.items()}
    return [
        [
            name.removesuffix(".weight"),
            f"{weights:,}",
            *(_bits(one.layers[name]) if name in one.layers else "-" for one in curves.values()),
        ]
        for name, weights in sizes.items()
    ]
