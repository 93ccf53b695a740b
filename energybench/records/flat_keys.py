"""The flat keys of a record in pytest-benchmark's `extra_info`, for jq and eyes."""

from typing import Any

from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord


def flat_keys(record: RunRecord) -> dict[str, Any]:
    """Return what pytest-benchmark's `extra_info` has beside the record; null where not known."""
    metric, paired = record.metric, record.paired_drop
    return {
        "kwh": record.kwh,
        "kwh_total": record.kwh_total,
        "kwh_net": record.kwh_net,
        "kwh_to_target": record.kwh_to_target,
        "cpu_s": record.cpu_s,
        **({"kwh_overhead": record.kwh_overhead} if record.overhead else {}),
        **({} if record.carbon is None else {"kg_co2e": record.kg_co2e}),
        **(
            {}
            if record.embodied_g_per_hour is None
            else {"kg_co2e_embodied": record.kg_co2e_embodied}
        ),
        "epochs": record.epoch_count,
        **(
            {"accuracy": record.value, "accuracy_drop_pp": record.drop}
            if metric in (None, ACCURACY)
            else {}
        ),
        **(
            {
                "perplexity": record.perplexity,
                "tokens_per_s": record.items_per_s,
                "joules_per_1000_tokens": record.joules_per_1000_items,
            }
            if record.dataset.item == "token"
            else {}
        ),
        "metric": metric.name if metric else None,
        "value": record.value,
        "drop": record.drop,
        "drop_unit": metric.unit if metric else None,
        **(
            {"drop_low": paired.low, "drop_high": paired.high, "drop_p": paired.p} if paired else {}
        ),
        "within_tolerance": record.within_tolerance,
        "energy_source": record.energy_source,
        **(
            {}
            if record.assumptions is None
            else {
                "estimate_cpu_watts": record.assumptions.cpu_watts,
                "estimate_ram_watts": record.assumptions.ram_watts,
            }
        ),
        "compression_rate": record.compression.compression_rate if record.compression else None,
        "no_effect": record.compression.no_effect if record.compression else None,
        "status": record.status,
    }
