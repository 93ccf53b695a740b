"""Pretraining recipes, per data set and network, where no published weights fit: minutes on a CPU.

A network without a recipe here is pretrained by `Recipe()`. `weights.trainer` follows a recipe.
"""

from dataclasses import dataclass
from typing import Literal

Initialization = Literal["as_built", "zero_residual", "he"]


@dataclass(frozen=True)
class Recipe:
    """One pretraining: AdamW under a one-cycle schedule, on slightly distorted images."""

    learning_rate: float = 1e-3
    """At the peak of the cycle."""
    epochs: int = 12
    batch_size: int = 32
    """Images per step."""
    initialization: Initialization = "as_built"
    """`as_built`: torchvision's own. `zero_residual`: the same, but every residual block starts as
    the identity. `he`: normal, variance 2 / fan-in in convolutions, 0.32 / fan-in in linear layers
    (so that the features before the last one are not so large that plain SGD diverges)."""
    weight_decay: float = 0.01
    """Weight decay of AdamW: decoupled, relative to the learning rate."""
    label_smoothing: float = 0.05
    """Probability mass spread evenly over the classes, 0..1."""
    gradient_norm: float = 1.0
    """Largest Euclidean norm of all gradients together; larger gradients are scaled down."""
    warmup: float = 0.3
    """Share of all steps in which the learning rate rises, 0..1."""
    rotation_deg: float = 10.0
    """Largest rotation either way, degrees."""
    translation: float = 0.06
    """Largest shift either way, as a share of the image's side."""
    scaling: float = 0.1
    """Largest enlargement or reduction, as a share of the image's side."""
    shear: float = 0.1
    """Largest horizontal shift per vertical pixel."""


DIGITS: dict[str, Recipe] = {
    "alexnet": Recipe(learning_rate=5e-4, initialization="he"),
    "resnet18": Recipe(initialization="zero_residual"),
    "resnet34": Recipe(initialization="zero_residual"),
    "resnet50": Recipe(initialization="zero_residual", epochs=16),
    "resnet101": Recipe(initialization="zero_residual", epochs=16),
    "inception_v3": Recipe(learning_rate=2e-3),
    "densenet121": Recipe(),
    "vgg16": Recipe(learning_rate=2e-4, epochs=12, initialization="he"),
    "convnext_base": Recipe(learning_rate=3e-4, epochs=8),
}

"""For 450 images."""
HANDWRITING: dict[str, Recipe] = {
    "alexnet": Recipe(learning_rate=7e-4, initialization="he", epochs=5, batch_size=64),
    "resnet18": Recipe(initialization="zero_residual", epochs=4),
    "resnet34": Recipe(initialization="zero_residual", epochs=4),
    "resnet50": Recipe(initialization="zero_residual", epochs=4),
    "resnet101": Recipe(initialization="zero_residual", epochs=4),
    "inception_v3": Recipe(learning_rate=2e-3, epochs=3),
    "densenet121": Recipe(epochs=3),
    "vgg16": Recipe(learning_rate=2e-4, initialization="he", epochs=3, batch_size=64),
    "convnext_base": Recipe(learning_rate=3e-4, epochs=3),
}
"""For 1,797 images: fewer passes over more of them."""
RECIPES = {"digits": DIGITS, "handwriting": HANDWRITING}
"""Data set -> network -> recipe."""


def recipe_for(model: str, dataset: str) -> Recipe:
    """Return the recipe of the network registered as `model`, or the default recipe."""
    return RECIPES.get(dataset, {}).get(model, Recipe())
