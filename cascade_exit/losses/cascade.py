"""The plan's consistency term: a deeper exit keeps to what the exit before it said."""

from jaxtyping import Float
from torch import Tensor

from cascade_exit.losses.distributed import share_of_total
from cascade_exit.losses.divergence import anchor_divergence
from cascade_exit.model.output import ExitOutput


def cascade_loss(deeper: ExitOutput, shallower: ExitOutput) -> Float[Tensor, ""]:
    """The plan's `kl(deeper, shallower.detach())`, as `F.kl_div` reads its arguments: KL(shallower || deeper).

    The mean over all images and anchors of the divergence summed over labels. The gradient reaches the deeper exit's
    class logits only.

    Raises:
        ValueError: the exits have no common anchor grid.
    """
    divergence = anchor_divergence(deeper.class_logits, shallower.class_logits)
    count = divergence.new_tensor(float(divergence.numel()))
    return divergence.sum() / share_of_total(count, at_least=1.0)
