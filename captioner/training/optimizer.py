"""The optimizer, its learning rates, and the running average of weights."""

import math

import torch
from torch import Tensor

from captioner.config.settings import TrainingConfig
from captioner.model.captioning_model import CaptioningModel


def make_optimizer(model: CaptioningModel, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), with its own learning rate for the backbone.

    Biases, norms and embeddings have no weight decay.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        backbone = name.startswith("encoder.stages.")
        peak = config.encoder_learning_rate if backbone else config.learning_rate
        plain = parameter.ndim < 2 or "embedding" in name or "positions" in name
        groups.setdefault((peak, 0.0 if plain else config.weight_decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "peak": peak, "weight_decay": decay}
            for (peak, decay), parameters in groups.items()
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,  # one pass over the weights instead of a dozen
    )


def set_learning_rates(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int, total: int
) -> None:
    """Set linear warm-up, for at most a quarter of the steps, then a cosine down to 0."""
    warm_up_steps = min(config.warm_up_steps, total // 4)
    warm_up = min(1.0, (step + 1) / max(1, warm_up_steps))
    progress = max(0, step - warm_up_steps) / max(1, total - warm_up_steps)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * warm_up * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(
    average: CaptioningModel, model: CaptioningModel, decay: float, step: int
) -> None:
    """average <- decay * average + (1 - decay) * model, with a smaller decay in the first steps.

    Frozen weights, which are the same in both, are left alone, and statistics of batch norms that
    the training does not update.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs: list[tuple[Tensor, Tensor]] = list(
        zip(average.parameters(), model.parameters(), strict=True)
    )
    pairs = [(old, new) for old, new in pairs if new.requires_grad]
    if model.encoder.update_batch_norm:
        for old, new in zip(average.buffers(), model.buffers(), strict=True):
            if old.is_floating_point():
                pairs.append((old, new))
            else:
                old.copy_(new)
    torch._foreach_lerp_([old for old, _ in pairs], [new for _, new in pairs], 1 - decay)
