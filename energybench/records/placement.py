"""The recorded machines and devices of a cell's ranks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Where the ranks of a cell ran; each list has one value per rank."""

    nodes: list[int]
    """Machine of each rank, numbered from 0; the record's `machine` is number 0."""
    devices: list[str]
    """Device of each rank: "cpu", or a GPU named as in energy readings, "gpu:<id>"."""
    threads: list[int]
    """PyTorch's threads on the CPU."""
