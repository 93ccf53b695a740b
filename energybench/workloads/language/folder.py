"""Any causal model of transformers: `hf:PATH`, a local folder, or `hf:NAME` of a hub.

A folder has `config.json`, the tokenizer's files and weights as safetensors. No code out of it is
run, and no pickle is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from energybench.errors import UsageError
from energybench.files import expanded
from energybench.progress import Progress
from energybench.workloads.base import Weights
from energybench.workloads.language.models import plain_linear
from energybench.workloads.language.quiet import quietly
from energybench.workloads.language.state import given_weights, stamp

T = TypeVar("T")

FILES = "config.json, the tokenizer's files (tokenizer.json) and *.safetensors"


_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class FolderModel:
    """The causal model in a local folder."""

    name: str
    folder: Path

    @property
    def vocabulary(self) -> int:
        """Number of tokens that the model knows."""
        return int(_text_config(self.folder).vocab_size)

    @property
    def longest_block(self) -> int | None:
        """Most tokens that the model sees at once, as its configuration says."""
        most = getattr(_text_config(self.folder), "max_position_embeddings", None)
        return None if most is None else int(most)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of the folder's own tokenizer."""
        tokens: list[int] = _tokenizer(self.folder)(
            text, add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return tokens

    def build(self) -> nn.Module:
        """Return a network of the folder's configuration, freshly initialized, in float32."""
        from energybench.workloads.language.libraries import transformers

        config = _config(self.folder)
        make = transformers.AutoModelForCausalLM.from_config
        return _ready(_read(self.folder, lambda: make(config, dtype=torch.float32)))

    def pretrained(self) -> nn.Module:
        """Return the network with the folder's weights, in float32, on the CPU."""
        from energybench.workloads.language.libraries import transformers

        weight_files(self.folder)
        make = transformers.AutoModelForCausalLM.from_pretrained
        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        found, told = _read(
            self.folder,
            lambda: make(self.folder, dtype=torch.float32, output_loading_info=True, **options),
        )
        missing = sorted(told["missing_keys"])
        if missing:
            raise UsageError(
                f"the safetensors in {self.folder} lack {missing[0]}; "
                "save the whole model there with save_pretrained"
            )
        return _ready(found)

    def weights(self, given: str | None, device: torch.device, seed: int) -> Weights:
        """Return `given` weights, or the folder's; `seed` decides nothing."""
        return FolderWeights(self) if given is None else given_weights(self, given)


@dataclass(frozen=True)
class FolderWeights:
    """The `Weights` in the folder of a model."""

    spec: FolderModel
    path: ClassVar[Path | None] = None
    facts: ClassVar[Mapping[str, Any]] = {}

    @property
    def key(self) -> str:
        """The cache key, another one for other files. Raises `UsageError` if they have gone."""
        files = [self.spec.folder / "config.json", *weight_files(self.spec.folder)]
        return str([str(self.spec.folder), *((file.name, *stamp(file)) for file in files)])

    def ensure(self, progress: Progress, say: Callable[[str], None]) -> None:
        """Do nothing: the weights are there."""

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """Return a new network on `device` with the weights, and the record's entries on them."""
        torch.manual_seed(seed)
        model = self.spec.pretrained().to(device)
        return model, {"source": f"hf:{self.spec.folder}", "head_replaced": False}


def open_model(location: str) -> FolderModel:
    """Return the model in the folder `location`, or that a hub has under this name.

    Raises `UsageError` where there is neither, or a file is missing.
    """
    folder = expanded(location)
    if not folder.is_dir():
        if location.startswith((".", "/", "~")) or location.count("/") > 1:
            raise UsageError(f"no folder {folder}; put a model's {FILES} there")
        folder = _from_hub(location)
    if not (folder / "config.json").is_file():
        raise UsageError(f"no config.json in {folder}; a model's folder has {FILES}")
    return FolderModel(f"hf:{location}", folder)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors in `folder`; raises `UsageError` where there are none."""
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise UsageError(
            f"no *.safetensors in {folder}, and no pickle is read; save the model there "
            "with save_pretrained(folder, safe_serialization=True)"
        )
    return found


def _from_hub(name: str) -> Path:
    """Return the folder of a hub's model, downloaded once; raises `UsageError` where offline."""
    from energybench.workloads.language.libraries import huggingface_hub

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt"]
    for local in (True, False):
        try:
            with quietly():
                found = huggingface_hub.snapshot_download(
                    name, allow_patterns=wanted, local_files_only=local, etag_timeout=10
                )
        except Exception as error:  # the hub has dozens of its own
            reason = first_line(error)
            continue
        folder = Path(found)
        if not local or (folder / "config.json").is_file():
            return folder
    raise UsageError(
        f"no folder {name}, and no hub has it that can be reached ({reason}); "
        f"put {FILES} into a folder and name that: hf:PATH"
    )


@cache
def _config(folder: Path) -> Any:
    from energybench.workloads.language.libraries import transformers

    read = transformers.AutoConfig.from_pretrained
    config = _read(folder, lambda: read(folder, local_files_only=True))
    config.use_cache = False
    return config


def _text_config(folder: Path) -> Any:
    """Return the configuration of the language model, also of a model of several kinds of input."""
    found = _config(folder).get_text_config()
    if not isinstance(getattr(found, "vocab_size", None), int):
        raise UsageError(f"{folder} holds no language model: its config.json has no vocab_size")
    return found


@cache
def _tokenizer(folder: Path) -> Any:
    from energybench.workloads.language.libraries import transformers

    if not any((folder / name).is_file() for name in _TOKENIZERS):  # else it would be an empty one
        raise UsageError(
            f"no tokenizer in {folder}; put the model's own there: {', '.join(_TOKENIZERS[:3])}"
        )
    read = transformers.AutoTokenizer.from_pretrained
    return _read(folder, lambda: read(folder, local_files_only=True))


def _read(folder: Path, read: Callable[[], T]) -> T:
    """Return `read()`; raises `UsageError` of one line for whatever transformers finds wrong."""
    try:
        with quietly():
            return read()
    except UsageError:
        raise
    except Exception as error:  # its readers raise what their parsers raise
        raise UsageError(
            f"transformers cannot read the model in {folder} ({first_line(error)}); it must be a "
            f"causal model that this transformers knows, with {FILES}"
        ) from error


def _ready(model: Any) -> nn.Module:
    """Return `model` as a task needs it: without a cache of keys and values, in plain layers."""
    model.config.use_cache = False
    return plain_linear(model)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message that says something, shortened."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)[:200]
