"""Measure what compressing a pretrained network does to the energy of fine-tuning it.

Every name below is imported when it is first used (PEP 562): `import energybench` alone loads
neither torch nor pytest.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energybench.energy.measurement import measure as measure
    from energybench.registry import METHODS as METHODS
    from energybench.registry import MODELS as MODELS

__version__ = "0.1.0"

_PLACES = {
    "METHODS": "energybench.registry",
    "MODELS": "energybench.registry",
    "measure": "energybench.energy.measurement",
}
"""Public name -> the module that defines it."""

__all__ = ["METHODS", "MODELS", "__version__", "measure"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
