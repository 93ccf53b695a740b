"""Fixtures of the benchmarks in this folder."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

CHECK = "energybench check"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the lengths of what is measured beside cells."""
    group = parser.getgroup("checks of a machine")
    group.addoption("--load-s", type=float, default=30.0, help="seconds of the steady load")
    group.addoption("--quiet-s", type=float, default=10.0, help="seconds of idle power")


@pytest.fixture
def device() -> Any:
    """Return the device that is measured: the first GPU, else the CPU."""
    import torch

    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@pytest.fixture
def check(request: pytest.FixtureRequest, device: Any) -> Callable[..., None]:
    """Return a function that notes the answer to a question, and fails where it is not as expected.

    `check(name, found, held, expected, **figures)`; `held` is None where nothing is expected.
    """
    import torch

    from energybench.energy.machine import describe_machine
    from energybench.records.studies import Check

    cuda = device.type == "cuda"
    device_name = torch.cuda.get_device_name(device) if cuda else describe_machine().cpu

    def note(
        name: str,
        found: str,
        held: bool | None = None,
        expected: str = "",
        **figures: float | None,
    ) -> None:
        one = Check(name, device_name, found, expected, held, figures=figures)
        request.node.user_properties.append((CHECK, asdict(one)))
        print(f"{name}: {found}{f' (expected: {expected})' if expected else ''}")
        assert held is not False, f"{name}: {found}, expected: {expected}"

    return note
