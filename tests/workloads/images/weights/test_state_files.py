import os
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from energybench.errors import UsageError
from energybench.registry import MODELS
from energybench.workloads.images.weights.state_files import (
    download_imagenet_weights,
    find_checkpoint,
    load_weights,
    read_checkpoint,
)

SPEC = MODELS.get("resnet18")


@pytest.fixture(scope="module")
def trained() -> torch.nn.Module:
    return SPEC.build(10)  # type: ignore[no-any-return]


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_round_trip(tmp_path: Path, trained: torch.nn.Module, file: str, wrapped: bool) -> None:
    state, path = trained.state_dict(), tmp_path / file
    if file.endswith(".pt"):
        named = {f"module.{name}": value for name, value in state.items()}
        torch.save({"state_dict": named} if wrapped else state, path)
    else:
        save_file(state, path)
    model = SPEC.build(10)
    assert load_weights(model, SPEC, read_checkpoint(path), "w") is False
    assert same_weights(model, trained)


def test_a_head_of_another_size_is_replaced(trained: torch.nn.Module) -> None:
    model = SPEC.build(7)
    assert load_weights(model, SPEC, trained.state_dict(), "w") is True
    assert torch.equal(model.conv1.weight, trained.get_parameter("conv1.weight"))
    assert model.fc.weight.shape == (7, 512)


def test_another_network_is_refused(trained: torch.nn.Module) -> None:
    with pytest.raises(UsageError, match="is not a resnet34: it lacks"):
        load_weights(MODELS.get("resnet34").build(10), MODELS.get("resnet34"),
                     trained.state_dict(), "w.pt")  # fmt: skip


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pt"):
        (tmp_path / name).write_bytes(b"\x00" * 100)
        with pytest.raises(UsageError, match="damaged") as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"conv1.weight": Evil()}, protocol=2))
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    for name in ("evil.pt", "evil.pth"):
        with pytest.raises(UsageError, match="damaged or holds more than weights"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_a_file_without_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="holds no state_dict"):
        read_checkpoint(tmp_path / "w.pt")


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").touch()
    assert find_checkpoint(str(tmp_path), "resnet18") == tmp_path / "resnet18.pth"
    assert find_checkpoint(str(tmp_path / "resnet18.pth"), "x") == tmp_path / "resnet18.pth"
    with pytest.raises(UsageError, match=r"no vgg16\.safetensors"):
        find_checkpoint(str(tmp_path), "vgg16")
    with pytest.raises(UsageError, match="no weights at"):
        find_checkpoint(str(tmp_path / "nothing.pt"), "vgg16")


def test_a_failed_download_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    target = f"{tmp_path}/hub/checkpoints/resnet18-f37072fd.pth"
    with pytest.raises(UsageError, match=f"put that file at {target}"):
        download_imagenet_weights(SPEC)


def test_a_file_put_there_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: torch.nn.Module
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    target = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    target.parent.mkdir(parents=True)
    torch.save(trained.state_dict(), target)
    downloaded = download_imagenet_weights(SPEC)
    assert torch.equal(downloaded["conv1.weight"], trained.state_dict()["conv1.weight"])
