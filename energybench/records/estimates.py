"""Tells estimates of energy from measurements, by the names of their sources."""

from collections.abc import Iterable


def estimated(sources: Iterable[str]) -> bool:
    """Whether any of `sources` is an estimate, such as "codecarbon_estimate"."""
    return any("estimate" in source for source in sources)
