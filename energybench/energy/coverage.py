"""What the domains of meters cover, and which of them a total adds up: no joule counts twice.

Three rules hold together:

1. The name of a domain starts with its kind (`gpu`, `cpu`, `dram`, `wall`, ...). One meter reads a
   kind: of several that could, the one that is opened first, see `opening.opening_order`.
2. A domain of the kind `wall` is the whole machine. It contains all others: where there is one, it
   alone is the total, and the others stand beside it as its parts.
3. A sensor whose coverage the kernel does not tell is read only where the user says its kind.
"""

from collections.abc import Iterable, Mapping

WHOLE = "wall"
"""The kind of a domain that is the whole machine."""
COVERS = {
    "gpu": "a GPU's board",
    "cpu": "a processor's package",
    "dram": "the memory",
    "ane": "a neural engine",
    WHOLE: "the whole machine",
}
"""Kind -> what its domains cover, for people."""


def kind_of(domain: str) -> str:
    """The part of a domain's name before the colon: `gpu`, `cpu`, `dram`, `wall`."""
    return domain.partition(":")[0]


def covers(domain: str) -> str:
    """What `domain` is the energy of, in words."""
    return COVERS.get(kind_of(domain), f"the kind {kind_of(domain)}")


def counted(domains: Iterable[str]) -> list[str]:
    """The domains among `domains` whose sum is the total: those of the whole machine, or all."""
    found = list(domains)
    return [domain for domain in found if kind_of(domain) == WHOLE] or found


def total(values: Mapping[str, float | None]) -> float | None:
    """The sum of `values` over the domains that count.

    None without domains, or if one of those that count has no value.
    """
    parts = [values[domain] for domain in counted(values)]
    known = [value for value in parts if value is not None]
    return sum(known) if known and len(known) == len(parts) else None
