"""Controls: the uncompressed model once more, and in another arithmetic.

`stego` clears bits and also computes in a narrower arithmetic. The controls in one arithmetic show
how much it saves alone, without a cleared bit and without a search.
"""

from energybench.compression.base import Baseline


class BaselineAgain(Baseline):
    """The baseline a second time: its distance from the first is the noise of the measurement."""

    name = "baseline-again"


class BaselineTf32(Baseline):
    """The uncompressed model, trained in TF32."""

    name = "baseline-tf32"
    required_precision: str | None = "tf32"

    def precisions(self) -> tuple[str, ...]:
        """Return TF32, although it rounds the weights that it reads: the control measures this."""
        return ("tf32",)


class BaselineDefault(Baseline):
    """The uncompressed model in the arithmetic that PyTorch takes by itself.

    On a GPU that is TF32 in convolutions and fp32 in matrix products, on a CPU fp32: the baseline
    of most people, who set neither.
    """

    name = "baseline-default"
    required_precision: str | None = "default"

    def precisions(self) -> tuple[str, ...]:
        """Return the default, although TF32 rounds what it reads: the control measures this."""
        return ("default",)


class BaselineBf16(Baseline):
    """The uncompressed model, trained in bfloat16 over float32 weights."""

    name = "baseline-bf16"
    required_precision: str | None = "bf16"

    def precisions(self) -> tuple[str, ...]:
        """Return bfloat16, although it rounds the weights it reads: the control measures this."""
        return ("bf16",)
