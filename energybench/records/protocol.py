"""The recorded protocol of a cell: how it was trained and measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """All choices that shape the numbers of a cell, beside its data and weights."""

    learning_rate: float
    momentum: float
    weight_decay: float
    patience: int
    """Epochs without improvement after which training stops."""
    min_delta: float
    """Decrease of the validation loss that counts as an improvement."""
    max_epochs: int
    batch_size: int
    """Items per step, of all ranks together."""
    budget: str
    """Rule for the number of epochs: "early-stopping", or "equal" to the baseline's."""
    memory_format: str
    """The one that was asked for: "auto", "contiguous" or "channels_last"."""
    compile: bool
    """Whether training steps ran through `torch.compile`."""
    tolerance: float
    """Largest drop allowed, in the unit of the metric."""
    pue: float
    """Power usage effectiveness: facility energy / IT energy."""
    device: str
    """PyTorch's type of device: "cpu", "cuda"."""
    device_name: str = ""
    """Product name of the device; "" in records of the first schema."""
    precision: str = "fp32"
    """The arithmetic that was asked for; a method may choose a narrower one."""
    evaluation_batch_size: int | None = None
    """Items that were evaluated at once; None where that is not known."""
    threads: int | None = None
    """Threads of PyTorch on the CPU; None where that is not known."""
    world_size: int = 1
    """Ranks that shared each batch."""
    ranks_per_node: str = "1"
    """Ranks of each machine: "4+4" for two machines of four."""
    vary: str = "order"
    """What a seed changes: "order" of the batches, or "all": pretraining and splits as well."""
    recalibrate_bn: bool = False
    """Whether batch-norm statistics were estimated anew after compressing."""
    shard: bool = False
    """Whether weights, gradients and momenta were divided among the ranks."""
