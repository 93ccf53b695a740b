"""Controls: the uncompressed model in a narrower arithmetic.

`stego` both clears bits and computes in the arithmetic that they fit. These tell the two apart:
what the arithmetic saves without a single bit cleared or searched for.
"""

from energybench.compression.base import Baseline


class BaselineTf32(Baseline):
    """The uncompressed model, trained in TF32."""

    name = "baseline-tf32"
    required_precision: str | None = "tf32"

    def precisions(self) -> tuple[str, ...]:
        """TF32, although it rounds the weights it reads: that is what this control is for."""
        return ("tf32",)


class BaselineBf16(Baseline):
    """The uncompressed model, trained in bfloat16 over float32 weights."""

    name = "baseline-bf16"
    required_precision: str | None = "bf16"

    def precisions(self) -> tuple[str, ...]:
        """bfloat16, although it rounds the weights it reads: that is what this control is for."""
        return ("bf16",)
