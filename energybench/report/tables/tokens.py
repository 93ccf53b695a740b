"""The table of what language models reach and take per token."""

from energybench.report.scores import score_column
from energybench.report.sections import Section
from energybench.report.stats import mean_of_all
from energybench.report.tables.matrix_rows import Table
from energybench.report.tables.token_columns import token_columns
from energybench.report.text import number


def token_table(section: Section) -> Table:
    """Return a table of `TOKEN_COLUMNS` beside the metric, as means over the seeds.

    It has the rows whose cells count tokens, and may be empty.
    """
    own = {
        key: list(row.values()) for key, row in section.rows.items() if token_columns(row.values())
    }
    columns = token_columns(section.finished)
    score = score_column(record for records in own.values() for record in records)
    labelled = any(section.labels[key] for key in own)
    headers = ["model", "method", *(["setting"] if labelled else []), "seeds", score.header]
    rows = tuple(
        (
            key.model,
            key.method,
            *([section.labels[key]] if labelled else []),
            str(len(records)),
            score.value(records[0].metric, mean_of_all([one.value for one in records])),
            *(number(mean_of_all([column.value(one) for one in records])) for column in columns),
        )
        for key, records in own.items()
    )
    caption = (
        "The perplexity is that of the test; tokens/s are those of training; joules (IT) are those "
        "of fine-tuning, validation included, per 1,000 training tokens."
    )
    numbers = frozenset(range(3 if labelled else 2, len(headers) + len(columns)))
    return Table((*headers, *(one.header for one in columns)), rows, numbers, caption)
