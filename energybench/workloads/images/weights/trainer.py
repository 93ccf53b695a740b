"""Pretrains by a recipe: small distortions, AdamW, one cycle, fresh BatchNorm statistics."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from energybench.compression.batch_norm import recompute_batchnorm
from energybench.errors import CellError
from energybench.workloads.images.weights.recipes import Recipe

_LINEAR_GAIN = 0.4


def pretrain(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    recipe: Recipe,
    device: torch.device,
    seed: int,
    progress: Callable[[int, int, float], None],
) -> None:
    """Initialize and train `model` in place; it ends on `device`, in evaluation mode.

    `batches` yields one epoch each time it is iterated: images (batch, 3, size, size) float32,
    normalized, and labels (batch,) int64. `progress` is called with the epoch (from 1), the number
    of epochs and the mean loss. On a CPU, `seed`, the batches and the model as built determine the
    result. Raises `CellError` when a loss is not finite.
    """
    torch.manual_seed(seed)  # initialization, dropout and stochastic depth
    distortions = torch.Generator().manual_seed(seed)
    initialize(model, recipe)
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    for epoch in range(1, recipe.epochs + 1):
        loss = _one_epoch(model, list(batches), recipe, optimizer, epoch, distortions)
        if not math.isfinite(loss):
            raise CellError(
                f"the pretraining loss of epoch {epoch} is {loss}; "
                "lower the learning rate of the model's recipe"
            )
        progress(epoch, recipe.epochs, loss)

    def show_all() -> None:
        for images, _ in batches:
            model(images.to(device))

    recompute_batchnorm(model, show_all)
    model.eval()


def initialize(model: nn.Module, recipe: Recipe) -> None:
    """Initialize `model` as `recipe` says, in place, drawing from the global generator."""
    from energybench.workloads.images.vision import torchvision

    if recipe.initialization == "zero_residual":
        resnet = torchvision.models.resnet
        for module in model.modules():
            if isinstance(module, resnet.Bottleneck):
                nn.init.zeros_(module.bn3.weight)
            elif isinstance(module, resnet.BasicBlock):
                nn.init.zeros_(module.bn2.weight)
    elif recipe.initialization == "he":
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    module.weight.mul_(_LINEAR_GAIN)


def distort(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Rotate, shift, scale and shear each image of (batch, channels, size, size) at random.

    Pixels beyond the border repeat the border. `generator` is on the CPU.
    """
    spread = torch.tensor(
        [
            math.radians(recipe.rotation_deg),
            recipe.scaling,
            recipe.shear,
            2 * recipe.translation,  # affine_grid's coordinates run from -1 to 1
            2 * recipe.translation,
        ]
    )
    draws = (2 * torch.rand(len(images), 5, generator=generator) - 1) * spread
    angle, scale, shear, right, down = draws.unbind(dim=1)
    cosine, sine = angle.cos() * (1 + scale), angle.sin() * (1 + scale)
    rows = [
        torch.stack([cosine, cosine * shear - sine, right], dim=1),
        torch.stack([sine, sine * shear + cosine, down], dim=1),
    ]
    theta = torch.stack(rows, dim=1).to(images.device)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _one_epoch(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    distortions: torch.Generator,
) -> float:
    """Train one pass over `batches` and return the mean loss per image."""
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    for step, (images, labels) in enumerate(batches):
        done = (epoch - 1 + (step + 0.5) / len(batches)) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * one_cycle(done, recipe.warmup)
        logits = model(distort(images.to(device), recipe, distortions))
        loss = cross_entropy(logits, labels.to(device), label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
        optimizer.step()
        total += loss.detach() * len(images)
    return total.item() / sum(len(labels) for _, labels in batches)


def one_cycle(done: float, warmup: float) -> float:
    """Return the learning rate relative to its peak, after the share `done` (0..1) of all steps.

    Half a cosine rises from 1/25 to 1 over the share `warmup`, half a cosine falls to 0 after it.
    """
    if done < warmup:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * done / warmup)) / 2
    return (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2
