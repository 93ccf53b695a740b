import logging
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.workloads.weights.cache import checksum, read_facts, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    saved = tmp_path / "net.safetensors"
    save(saved, nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)), {"key": "k", "test_accuracy": 1})
    return saved


def test_whole_weights_have_their_facts(path: Path) -> None:
    assert read_facts(path) == {"key": "k", "test_accuracy": 1}
    assert read_facts(path.with_name("none")) is None


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_found(path: Path, bit: int, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(path.read_bytes())
    data[-1 - 4 * bit] ^= 1 << bit  # in the weights, which end the file
    path.write_bytes(bytes(data))
    os.utime(path, ns=(bit, bit))  # looked at once per time of change
    with caplog.at_level(logging.WARNING):
        assert read_facts(path) is None
    assert "is damaged; the network is pretrained again" in caplog.text


def test_a_truncated_file_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        os.utime(path, ns=(size, size))
        assert read_facts(path) is None


@given(place=st.integers(0, 31), change=st.integers(1, 2**32 - 1))
@settings(deadline=None)
def test_any_changed_element_changes_the_checksum(place: int, change: int) -> None:
    state = {"weight": torch.arange(32, dtype=torch.int32), "steps": torch.tensor(3)}
    before = checksum(state)
    words = state["weight"].numpy().view("uint32")
    words[place] ^= change
    assert checksum(state) != before


def test_names_and_shapes_count() -> None:
    values = torch.arange(6.0)
    found = {
        checksum({"a": values}),
        checksum({"b": values}),
        checksum({"a": values.reshape(2, 3)}),
        checksum({"a": values.to(torch.bfloat16)}),
    }
    assert len(found) == 4
