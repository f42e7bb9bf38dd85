"""Focal loss (Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5) on a softmax."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def focal_loss(
    logits: Float[Tensor, "*anchor label"], labels: Int[Tensor, "*anchor"], gamma: float, alpha: float
) -> Float[Tensor, "*anchor"]:
    """`-alpha_t * (1 - p_t)**gamma * log(p_t)` of each anchor, with the softmax probability `p_t` of its label.

    The paper has a sigmoid per class; a softmax with background as label 0 leaves the decoding of scores as it is.
    With one class the two are the same: `p_t` is the sigmoid of the difference of the two logits.

    Args:
        logits: unnormalised scores; label 0 is background.
        labels: the right label of each anchor.
        gamma: at least 0; 0 gives `alpha_t` times cross entropy.
        alpha: `alpha_t` of objects; background has `1 - alpha`.
    """
    log_p = F.log_softmax(logits, dim=-1).gather(-1, labels[..., None]).squeeze(-1)
    # Above 0, where a power below 1 would have an infinite slope.
    miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    alpha_t = torch.full_like(log_p, alpha).where(labels > 0, 1 - alpha)
    return -alpha_t * miss**gamma * log_p
