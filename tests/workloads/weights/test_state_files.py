import argparse
import collections
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from energybench.errors import UsageError
from energybench.registry import MODELS
from energybench.workloads.images.weights.fitting import load_weights
from energybench.workloads.weights.state_files import (
    CONTAINERS,
    download_imagenet_weights,
    find_checkpoint,
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


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pt"):
        (tmp_path / name).write_bytes(b"\x00" * 100)
        with pytest.raises(UsageError, match="damaged") as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="sets a limit as Linux has it")
def test_a_lack_of_memory_is_no_damage_of_the_file(tmp_path: Path) -> None:
    state = {"weight": torch.zeros(2**24)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    script = (
        "import resource\n"
        "from pathlib import Path\n"
        "from energybench.errors import is_out_of_memory\n"
        "from energybench.workloads.weights.state_files import read_checkpoint\n"
        "import safetensors.torch\n"
        "in_use = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "for free, name in ((16, 'w.safetensors'), (96, 'w.safetensors'), (16, 'w.pt')):\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (in_use + free * 2**20, -1))\n"
        "    try:\n"
        "        read_checkpoint(Path(name))\n"
        "    except Exception as error:\n"
        "        assert is_out_of_memory(error), repr(error)\n"
        "    else:\n"
        "        raise SystemExit(f'{name} was read')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"conv1.weight": Evil()}, protocol=2))
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    torch.save({"model": {}, "args": argparse.Namespace(lr=Evil())}, tmp_path / "args.pth")
    for name in ("evil.pt", "evil.pth", "args.pth"):
        assert f"{name} holds posix.mkdir" in refused(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def refused(path: Path) -> str:
    """Return the one line that refuses a file; it never advises to delete what is a user's."""
    with pytest.raises(UsageError) as caught:
        read_checkpoint(path)
    line = str(caught.value)
    assert str(path) in line
    assert "delete" not in line
    return line


def test_what_stopped_the_reading_is_named(tmp_path: Path) -> None:
    weights = {"weight": torch.zeros(2)}
    path = tmp_path / "w.pth"
    for saved, name in (
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": weights, "history": collections.defaultdict(list)}, "collections.defaultdict"),
        ({"model": weights, "curve": np.zeros(3)}, "numpy._core.multiarray._reconstruct"),
        ({"epoch": 3, "optimizer": {}}, "no state_dict, but epoch (int), optimizer (dict)"),
        (3, "a int and no state_dict"),
    ):
        torch.save(saved, path)
        assert f"holds {name}" in refused(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_something_else_is_described(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    for content, looks in (
        (b"<!DOCTYPE html>\n<html>", "a text that begins with '<!DOCTYPE html>'"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "begins with 'version https://git-lfs",
        ),
        (b"", "an empty file"),
        (pickle.dumps({"weight": 1.0}), "a pickle that torch.save did not write"),
    ):
        path.write_bytes(content)
        assert looks in refused(path)


def test_a_compiled_program_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "w.pt")
    with warnings.catch_warnings(action="error"):  # as under `pytest -W error`
        assert "is a TorchScript program" in refused(tmp_path / "w.pt")


ARGUMENTS = argparse.Namespace(
    lr=np.float64(0.1), epochs=np.int64(90), amp=np.bool_(True), output=Path("runs"), device="cuda"
)


@pytest.mark.parametrize("container", CONTAINERS)
def test_weights_beside_what_training_scripts_keep(tmp_path: Path, container: str) -> None:
    saved = {
        "args": ARGUMENTS,
        "best_acc1": np.float32(76.1),
        "optimizer": {"state": {}, "param_groups": [{"lr": np.float64(0.1)}]},
        container: {"weight": torch.ones(2)},
    }
    torch.save(saved, tmp_path / "w.pth")
    (weight,) = read_checkpoint(tmp_path / "w.pth").values()
    assert torch.equal(weight, torch.ones(2))


def test_numpy_1_wrote_its_scalars_under_another_name(tmp_path: Path) -> None:
    torch.save({"net": {"weight": torch.ones(2)}, "best": np.float32(1.0)}, tmp_path / "new.pth")
    with (
        zipfile.ZipFile(tmp_path / "new.pth") as new,
        zipfile.ZipFile(tmp_path / "w.pth", "w") as old,
    ):
        for entry in new.infolist():
            content = new.read(entry).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            old.writestr(entry, content)
    assert list(read_checkpoint(tmp_path / "w.pth")) == ["weight"]


def test_weights_as_trained_come_before_their_average(tmp_path: Path) -> None:
    averaged = {"n_averaged": torch.tensor(3), "module.weight": torch.zeros(2)}
    torch.save({"model_ema": averaged, "model": {"weight": torch.ones(2)}}, tmp_path / "w.pth")
    assert torch.equal(read_checkpoint(tmp_path / "w.pth")["weight"], torch.ones(2))


def test_what_a_session_allows_pytorch_to_read_stays_as_it_was(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.ones(2)}, "args": ARGUMENTS}, tmp_path / "w.pth")
    allowed = torch.serialization.get_safe_globals
    before = {*allowed()}
    with torch.serialization.safe_globals([argparse.Namespace]):
        read_checkpoint(tmp_path / "w.pth")
        assert argparse.Namespace in allowed()
    read_checkpoint(tmp_path / "w.pth")
    assert {*allowed()} == before


def test_a_file_within_itself_ends(tmp_path: Path) -> None:
    saved: dict[str, object] = {"epoch": 3}
    saved["model"] = saved
    torch.save(saved, tmp_path / "w.pth")
    assert "holds no state_dict, but epoch (int), model (dict)" in refused(tmp_path / "w.pth")


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").touch()
    assert find_checkpoint(str(tmp_path), "resnet18") == tmp_path / "resnet18.pth"
    assert find_checkpoint(str(tmp_path / "resnet18.pth"), "x") == tmp_path / "resnet18.pth"
    with pytest.raises(UsageError, match=r"no vgg16\.safetensors"):
        find_checkpoint(str(tmp_path), "vgg16")
    for empty in ("", " "):
        with pytest.raises(UsageError, match="weights is empty; give a file"):
            find_checkpoint(empty, "vgg16")
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
