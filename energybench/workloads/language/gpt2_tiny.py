"""The embedded model `gpt2-tiny`: GPT-2's architecture with 2.0 million parameters.

It has four blocks of width 192 over 1,024 tokens; its head is tied to its embedding. It is smaller
than published GPT-2s so that a CPU pretrains it in about 200 seconds of one core.
"""

from functools import cache
from typing import Any

import torch
from torch import nn

from energybench.workloads.base import Weights
from energybench.workloads.language import corpus
from energybench.workloads.language.made import MadeHere, Recipe
from energybench.workloads.language.models import plain_linear
from energybench.workloads.language.state import given_weights

VOCABULARY, LONGEST = 1024, 256
RECIPE = Recipe(learning_rate=3e-3, epochs=5, batch_size=8, block_length=128)


class Gpt2Tiny:
    """GPT-2, small enough to be pretrained on first use."""

    name = "gpt2-tiny"
    vocabulary = VOCABULARY
    longest_block: int | None = LONGEST

    def encode(self, text: str) -> list[int]:
        """Return byte-level BPE tokens; any text has some."""
        tokens: list[int] = _tokenizer().encode(text).ids
        return tokens

    def build(self) -> nn.Module:
        """Return GPT-2 without dropout."""
        from energybench.workloads.language.libraries import transformers

        config = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=LONGEST,
            n_embd=192,
            n_layer=4,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
            use_cache=False,
        )
        return plain_linear(transformers.GPT2LMHeadModel(config))

    def weights(self, given: str | None, device: torch.device, seed: int) -> Weights:
        """Return `given` weights, or those pretrained on the embedded reference by `seed`."""
        if given is not None:
            return given_weights(self, given)
        return MadeHere(
            spec=self,
            start=self.build,
            text=corpus.reference(),
            recipe=RECIPE,
            source="pretrained on Python's language reference",
            device=device,
            seed=seed,
        )


@cache
def _tokenizer() -> Any:
    from energybench.workloads.language.libraries import tokenizers

    return tokenizers.Tokenizer.from_str(corpus.tokenizer_file().read_text(encoding="utf-8"))


gpt2_tiny = Gpt2Tiny()
