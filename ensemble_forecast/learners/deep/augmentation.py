"""What may be done to training windows so that a net does not learn them by heart; drawn from torch's global stream, like dropout.

Jitter, scaling, warping: Um et al. (2017), arXiv:1706.00527. Mixup: Zhang et al. (2018), arXiv:1710.09412.
"""

from collections.abc import Callable

import torch

from ensemble_forecast.learners.deep.inputs import FIRST_BASE, Batch
from ensemble_forecast.learners.deep.names import named

MIXUP = "mixup"
WARPED_SHARE = 0.25  # of the window is run faster or slower


def jitter(batch: Batch, strength: float) -> Batch:
    """Add noise of so many window units to every step."""
    return batch._replace(window_BLC=batch.window_BLC + strength * torch.randn_like(batch.window_BLC))


def scaling(batch: Batch, strength: float) -> Batch:
    """Stretch each window and its base about the last value, as if its unit were a little smaller or larger."""
    factor_B = torch.exp(strength * torch.randn(len(batch.unit_B), device=batch.unit_B.device))
    window_BLC, extras_BE = batch.window_BLC.clone(), batch.extras_BE.clone()
    window_BLC[..., 0] *= factor_B[:, None]
    extras_BE[:, FIRST_BASE : FIRST_BASE + batch.base_BH.shape[1]] *= factor_B[:, None]
    return batch._replace(window_BLC=window_BLC, extras_BE=extras_BE, unit_B=batch.unit_B / factor_B)


def warp(batch: Batch, strength: float) -> Batch:
    """Run a part of each window faster or slower, by a share of its length; its ends stay where they are."""
    window_BLC = batch.window_BLC
    rows, length, _ = window_BLC.shape
    place_L = torch.linspace(0, 1, length, device=window_BLC.device)
    centre_B1, push_B1 = torch.rand(rows, 1, device=window_BLC.device), strength * (2 * torch.rand(rows, 1, device=window_BLC.device) - 1)
    bump_BL = torch.exp(-(((place_L - centre_B1) / WARPED_SHARE) ** 2)) * 4 * place_L * (1 - place_L)
    source_BL = (place_L + push_B1 * bump_BL).clamp(0, 1) * (length - 1)
    left_BL = source_BL.floor().long().clamp(max=length - 2)
    row_B1, rest_BL1 = torch.arange(rows, device=window_BLC.device)[:, None], (source_BL - left_BL)[..., None]
    return batch._replace(window_BLC=(1 - rest_BL1) * window_BLC[row_B1, left_BL] + rest_BL1 * window_BLC[row_B1, left_BL + 1])


AUGMENTATIONS: dict[str, Callable[[Batch, float], Batch]] = {
    "none": lambda batch, strength: batch,  # noqa: ARG005 - one signature for all
    "jitter": jitter,
    "scaling": scaling,
    "warp": warp,
    MIXUP: lambda batch, strength: batch,  # noqa: ARG005 - it needs the targets too: see `mixed`
}


def augmented(name: str, batch: Batch, strength: float) -> Batch:
    """Change training windows by name.

    Raises
    ------
    BadInput
        When no augmentation has the name.
    """
    return named("augmentation", name, AUGMENTATIONS)(batch, strength)


def mixed(batch: Batch, target_BH: torch.Tensor, strength: float) -> tuple[Batch, torch.Tensor]:
    """Mix each window, its target and its weight with another one's by a share from Beta(strength, strength); unknown in either is unknown."""
    other_B = torch.randperm(len(target_BH), device=target_BH.device)
    both = torch.full((), strength, device=target_BH.device)
    share_B = torch.distributions.Beta(both, both, validate_args=False).sample((len(target_BH),))  # to check them is to wait for the device

    def mix(values: torch.Tensor) -> torch.Tensor:
        share = share_B.reshape(-1, *[1] * (values.ndim - 1))
        return torch.lerp(values[other_B], values, share)

    inputs = batch._replace(window_BLC=mix(batch.window_BLC), extras_BE=mix(batch.extras_BE), weight_B=mix(batch.weight_B))
    return inputs, mix(target_BH)
