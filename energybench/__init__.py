"""Measure what compressing a pretrained network does to the energy of fine-tuning it."""

from energybench.meters.measure import measure
from energybench.registry import METHODS, MODELS

__version__ = "0.1.0"
__all__ = ["METHODS", "MODELS", "__version__", "measure"]
