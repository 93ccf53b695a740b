"""The table of what the energy of fine-tuning emitted."""

from energybench.energy.units import format_co2e, format_kwh
from energybench.report.emissions import emission_lines
from energybench.report.sections import Section
from energybench.report.stats import mean_of_all
from energybench.report.tables.matrix_rows import Table


def emission_table(section: Section) -> Table:
    """Return kg CO2e of the facility energy, and of making the machines, as means over the seeds.

    It has the rows whose grid was named or whose share in making the machines was declared, and may
    be empty. The caption says what the figures rest on, and why some are missing.
    """
    own = {
        key: list(row.values())
        for key, row in section.rows.items()
        if any(one.carbon or one.embodied_g_per_hour is not None for one in row.values())
    }
    labelled = any(section.labels[key] for key in own)
    headers = ["model", "method", *(["setting"] if labelled else []), "seeds", "energy", "CO2e"]
    declared = any(one.embodied_g_per_hour is not None for one in section.finished)
    rows = tuple(
        (
            key.model,
            key.method,
            *([section.labels[key]] if labelled else []),
            str(len(records)),
            format_kwh(mean_of_all([one.kwh for one in records])),
            format_co2e(mean_of_all([one.kg_co2e for one in records])),
            *(
                [format_co2e(mean_of_all([one.kg_co2e_embodied for one in records]))]
                if declared
                else []
            ),
        )
        for key, records in own.items()
    )
    headers += ["making the machine"] if declared else []
    numbers = frozenset(range(3 if labelled else 2, len(headers)))
    lines = emission_lines(section.finished) if rows else []
    return Table(tuple(headers), rows, numbers, ". ".join(_sentence(one) for one in lines))


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:]
