"""Prefill and decoding with a cache: the same answers as transformers' own, again and again."""

from types import SimpleNamespace

import pytest
import torch
from support.language import model_folder, text_folder
from torch import Tensor, nn

from energybench.config import DataConfig
from energybench.errors import CellError, UsageError
from energybench.progress import Progress
from energybench.workloads.answers import Writes
from energybench.workloads.language.answers import PromptedModel
from energybench.workloads.language.task import LanguageModelling
from energybench.workloads.language.texts import open_text

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Writes:
    """The task of a model of each kind, which sees at most 64 tokens."""
    folder = tmp_path_factory.mktemp("answers")
    text, model = text_folder(folder / "text"), model_folder(folder / "model", request.param)
    config = DataConfig(block_length=16)
    data = open_text(str(text)).prepare((), CPU, config, Progress(None), print)
    found = data.task(f"hf:{model}", None, CPU)
    assert isinstance(found, LanguageModelling)
    assert isinstance(found, Writes)
    return found


@pytest.fixture
def model(task: LanguageModelling) -> nn.Module:
    return task.model(0).eval()


@torch.inference_mode()
def test_answers_are_those_of_transformers_generate(
    task: LanguageModelling, model: nn.Module
) -> None:
    answers = task.answers(model, 3, 12, 9, CPU)
    start = answers.prefill()
    found = answers.decode(start)
    assert found.shape == (3, 9)
    assert torch.equal(answers.decode(start), found), "decoding leaves the cache as it was"
    prompts = answers.prompts
    theirs = model.generate(  # type: ignore[operator]
        prompts,
        attention_mask=torch.ones_like(prompts),
        min_new_tokens=9,
        max_new_tokens=9,
        do_sample=False,
        use_cache=True,
        pad_token_id=0,
    )
    assert torch.equal(found, theirs[:, 12:])


@torch.inference_mode()
def test_decoding_reads_one_token_at_a_time(task: LanguageModelling, model: nn.Module) -> None:
    read: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda module, inputs: read.append(tuple(inputs[0].shape)))
    answers = task.answers(model, 2, 12, 5, CPU)
    start = answers.prefill()
    assert read == [(2, 12)]
    answers.decode(start)
    assert read[1:] == [(2, 1)] * 4


def test_lengths_that_cannot_be_are_refused(task: LanguageModelling, model: nn.Module) -> None:
    with pytest.raises(UsageError, match="takes at most 64 tokens, and prompt and answer have 65"):
        task.answers(model, 1, 60, 5, CPU)
    with pytest.raises(UsageError, match="an answer of 1 token has nothing to decode"):
        task.answers(model, 1, 8, 1, CPU)


class Recurrent(nn.Module):
    """A model whose cache is as `cache` says."""

    def __init__(self, cache: object) -> None:
        super().__init__()
        self.cache = cache

    def forward(
        self, tokens: Tensor, past_key_values: object = None, use_cache: bool = False
    ) -> SimpleNamespace:
        logits = torch.zeros(*tokens.shape, 7)
        return SimpleNamespace(logits=logits, past_key_values=self.cache)


def test_a_cache_that_is_missing_or_cannot_be_cut_is_one_line() -> None:
    prompts = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(CellError, match="returns no cache of keys and values"):
        PromptedModel(Recurrent(None), prompts, 3).prefill()
    answers = PromptedModel(Recurrent(object()), prompts, 3)
    with pytest.raises(CellError, match=r"cannot be cut back to the prompt .* has no window"):
        answers.decode(answers.prefill())
