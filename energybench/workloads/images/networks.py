"""The paper's nine networks, built by torchvision at full size.

Another torchvision classifier is one line: its name, its published parameter count, and the
qualified name of its last linear layer. For instance

    wide_resnet50_2 = ModelSpec("wide_resnet50_2", 68_883_240, "fc")

and an entry in `registry.MODELS` or in the entry-point group `energybench.models`. A network that
torchvision does not build is a subclass that overrides `ModelSpec.build`.
"""

from dataclasses import dataclass

from torch import nn

from energybench.errors import UsageError
from energybench.registry import MODELS


@dataclass(frozen=True)
class ModelSpec:
    """One image classifier, by default one of torchvision's."""

    name: str
    """The name in torchvision; files of weights are called after it."""
    parameters: int
    """Number of parameters with 1,000 classes, as built here."""
    head: str
    """Qualified name of the last Linear, whose outputs are the classes, such as "classifier.6"."""
    image_size: int = 224
    """Pixels per side of photographs."""
    small_image_size: int = 32
    """Pixels per side of the embedded images: the smallest size that the network works at."""

    def pixels(self, photographs: bool) -> int:
        """Return the pixels per side at which the network sees photographs, or embedded images."""
        return self.image_size if photographs else self.small_image_size

    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        """Return a freshly initialized network: (batch, 3, size, size) -> (batch, classes) logits.

        `photographs` are normalized as torchvision's weights expect, except inception_v3's, which
        undoes that normalization first.
        """
        from energybench.workloads.images.vision import torchvision

        extra = {}
        if self.name == "inception_v3":
            extra = {
                "aux_logits": False,
                "init_weights": False,
                "transform_input": photographs,
            }
        model: nn.Module = torchvision.models.get_model(
            self.name, weights=None, num_classes=classes, **extra
        )
        return model


def find_model(name: str) -> ModelSpec:
    """Return the network registered as `name`; raises `UsageError` if it classifies no images."""
    spec: ModelSpec = MODELS.get(name)
    if not hasattr(spec, "head"):
        raise UsageError(f"{name} does not classify images; run it with a text: the data set text")
    return spec


alexnet = ModelSpec("alexnet", 61_100_840, "classifier.6", small_image_size=64)
resnet18 = ModelSpec("resnet18", 11_689_512, "fc")
resnet34 = ModelSpec("resnet34", 21_797_672, "fc")
resnet50 = ModelSpec("resnet50", 25_557_032, "fc")
resnet101 = ModelSpec("resnet101", 44_549_160, "fc")
inception_v3 = ModelSpec("inception_v3", 23_834_568, "fc", image_size=299, small_image_size=96)
"""Without the auxiliary classifier (3.3 of the published 27.2 million), which needs 299 pixels."""
densenet121 = ModelSpec("densenet121", 7_978_856, "classifier")
vgg16 = ModelSpec("vgg16", 138_357_544, "classifier.6")
convnext_base = ModelSpec("convnext_base", 88_591_464, "classifier.2")
