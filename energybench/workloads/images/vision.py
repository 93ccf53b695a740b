"""Imports torchvision: `from energybench.workloads.images.vision import torchvision`.

`energybench.operators` says what has to be declared before.
"""

from energybench.operators import declare_operators

declare_operators()

import torchvision  # noqa: E402
from torchvision.transforms import v2 as transforms  # noqa: E402

__all__ = ["torchvision", "transforms"]
