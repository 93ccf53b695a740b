"""Imports transformers and what comes with it, where a model is used.

Functions that use a model import this module; nothing else of energybench needs the libraries.
"""

from energybench.errors import UsageError
from energybench.operators import declare_operators

declare_operators()

try:
    import huggingface_hub
    import tokenizers
    import transformers
except ImportError as error:
    raise UsageError(
        f"language models need transformers ({error}); pip install 'energybench[language]'"
    ) from error

__all__ = ["huggingface_hub", "tokenizers", "transformers"]
