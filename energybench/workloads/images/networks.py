"""The paper's nine networks, built by torchvision at full size.

One line adds another torchvision classifier: its name, its parameter count as published, and the
layer that is its head.
"""

from dataclasses import dataclass

from torch import nn

from energybench.workloads.images.vision import torchvision


@dataclass(frozen=True)
class ModelSpec:
    """One network of torchvision's."""

    name: str
    parameters: int
    """Of the 1,000-class network that is built here."""
    head: str
    """Qualified name of the last Linear, whose outputs are the classes."""
    image_size: int = 224
    """Pixels per side on photographs."""
    small_image_size: int = 32
    """Pixels per side on the embedded digits: the smallest that works."""

    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        """A freshly initialized network: (batch, 3, size, size) -> (batch, classes) logits.

        `photographs` come with ImageNet's normalization, which inception_v3's published weights
        expect to be undone first.
        """
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
