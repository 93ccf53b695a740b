"""Causal language models small enough for tests, in folders as transformers saves them."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energybench.workloads.language import corpus

WORDS = ["the", "cat", "sat", "on", "mat", "and", "saw", "red", "birds", "fly", "over", "hills"]


def sentences(count: int, seed: int) -> str:
    """Lines of four words in which each word mostly decides the next."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        place = draw.randrange(len(WORDS))
        line = [WORDS[place]]
        for _ in range(3):
            place = (place + 1) % len(WORDS) if draw.random() < 0.9 else draw.randrange(len(WORDS))
            line.append(WORDS[place])
        lines.append(" ".join(line))
    return "\n".join(lines) + "\n"


def text_folder(folder: Path) -> Path:
    """Write train, validation and test texts into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate({"train": 260, "validation": 70, "test": 70}.items()):
        (folder / f"{split}.txt").write_text(sentences(count, seed))
    return folder


def model_folder(folder: Path, kind: str = "gpt2", steps: int = 100, **changes: Any) -> Path:
    """Save a model of two blocks with its tokenizer into `folder`, trained a little.

    `kind` is "gpt2", whose head is tied to its embedding, or "llama", whose head is not.
    """
    from energybench.workloads.language.libraries import tokenizers, transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 1024, "bos_token_id": None, "eos_token_id": None}
    if kind == "gpt2":
        sizes |= {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        sizes |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes | changes))
    else:
        sizes |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 2, "max_position_embeddings": 64}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | changes))
    made = tokenizers.Tokenizer.from_str(corpus.tokenizer_file().read_text(encoding="utf-8"))
    _train(model, torch.tensor(made.encode(sentences(260, seed=9)).ids), steps)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(folder)
    return folder


def _train(model: nn.Module, tokens: torch.Tensor, steps: int) -> None:
    blocks = tokens[: (len(tokens) - 1) // 16 * 16 + 1].unfold(0, 17, 16)
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(steps):
        batch = blocks[torch.randint(len(blocks), (16,), generator=draw)]
        logits = model(batch[:, :-1]).logits
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
