"""The public face: every name is there, and none is imported before it is used."""

import subprocess
import sys

import pytest

import energybench


@pytest.mark.parametrize("name", energybench.__all__)
def test_every_public_name_is_found_where_it_is_said_to_be(name: str) -> None:
    assert getattr(energybench, name) is not None
    assert name in dir(energybench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'mesure'"):
        energybench.mesure  # noqa: B018


def test_the_import_alone_loads_nothing_heavy() -> None:
    code = (
        "import sys, energybench\n"
        "heavy = {'torch', 'torchvision', 'pytest', 'numpy', 'pydantic', 'codecarbon'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
