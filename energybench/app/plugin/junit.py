"""Facts of each cell as properties of its test, which `--junitxml` writes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from energybench.records.record import RunRecord


def note_properties(item: pytest.Item, record: "RunRecord", others: "Iterable[RunRecord]") -> None:
    """Give the test of a cell its properties; a value that is not known has none.

    They are the energies in kWh, the seconds of fine-tuning, the epochs, the metric by its name,
    its `drop` in `drop_unit`, the `saving` (share of the energy of its baseline, which is sought
    among `others`), the source of the energy and the status.
    """
    from energybench.report.savings import savings

    base = [one for one in others if one.id is not None and one.id == record.reference_id]
    saved = [one.saved for one in savings([*base[:1], record]) if one.method == record.method]
    fine, metric = record.main, record.metric
    found: dict[str, Any] = {
        "kwh": record.kwh,
        "kwh_total": record.kwh_total,
        "duration_s": None if fine is None else fine.duration_s,
        "epochs": len(record.epochs),
        **({} if metric is None else {metric.name: record.value, "drop_unit": metric.unit}),
        "drop": record.drop,
        "saving": saved[0] if saved else None,
        "energy_source": record.energy_source,
        "status": record.status,
    }
    known = {name: value for name, value in found.items() if value is not None}
    item.user_properties += known.items()
