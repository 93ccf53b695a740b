"""The recorded protocol of a cell: how it was trained and measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """All choices that shape the numbers of a cell, beside its data and weights.

    Of a script only `pue` and `device_name` are known; the rest is None.
    """

    learning_rate: float | None
    momentum: float | None
    weight_decay: float | None
    patience: int | None
    """Epochs without improvement after which training stops."""
    min_delta: float | None
    """Decrease of the validation loss that counts as an improvement."""
    max_epochs: int | None
    batch_size: int | None
    """Items per step, of all ranks together."""
    budget: str | None
    """Rule for the number of epochs: "early-stopping", or "equal" to the baseline's."""
    memory_format: str | None
    """The one that was asked for: "auto", "contiguous" or "channels_last"."""
    compile: bool | None
    """Whether training steps ran through `torch.compile`."""
    tolerance: float | None
    """Largest drop allowed, in the unit of the metric; None where nothing limits it."""
    pue: float
    """Power usage effectiveness: facility energy / IT energy."""
    device: str | None
    """PyTorch's type of device: "cpu", "cuda"."""
    device_name: str = ""
    """Product name of the device; "" in records of the first schema."""
    precision: str | None = "fp32"
    """The arithmetic that was asked for; a method may choose a narrower one."""
    evaluation_batch_size: int | None = None
    """Items that were evaluated at once; None where that is not known."""
    threads: int | None = None
    """Threads of PyTorch on the CPU; None where that is not known."""
    world_size: int | None = 1
    """Ranks that shared each batch."""
    ranks_per_node: str | None = "1"
    """Ranks of each machine: "4+4" for two machines of four."""
    vary: str | None = "order"
    """What a seed changes: "order" of the batches, or "all": pretraining and splits as well."""
    recalibrate_bn: bool | None = False
    """Whether batch-norm statistics were estimated anew after compressing."""
    shard: bool | None = False
    """Whether weights, gradients and momenta were divided among the ranks."""
