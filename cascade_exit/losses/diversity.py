"""Keeps an exit from being equally confident about all images."""

from jaxtyping import Float
from torch import Tensor

from cascade_exit.losses.distributed import process_count, total_over_processes
from cascade_exit.model.digest import mean_confidence
from cascade_exit.model.output import ExitOutput


def diversity_loss(output: ExitOutput, target_std: float) -> Float[Tensor, ""]:
    """(standard deviation over the batch of the mean confidence - target)^2 of one exit.

    The deviation is that of the population (divided by the number of images), over the images of all processes
    under DDP. A batch of one image has no spread: the loss is then 0, with gradient 0.

    Args:
        output: answer of the exit; its box deltas play no part.
        target_std: wanted standard deviation, in [0, 0.5].
    """
    confidence = mean_confidence(output.class_logits)
    images = total_over_processes(confidence.new_tensor(float(len(confidence))))
    deviation = _standard_deviation(confidence, images)
    return (deviation - target_std).square().where(images > 1, 0.0)


def _standard_deviation(values: Float[Tensor, " batch"], count: Float[Tensor, ""]) -> Float[Tensor, ""]:
    count = count.clamp(min=1)
    # The deviations sum to 0, so the mean's own gradient vanishes and it may be taken without.
    mean = total_over_processes(values.sum()) / count
    own = (values - mean).square().sum()
    # Value: the variance over all processes. Gradient: that of this process's share, times the number of processes,
    # because DDP divides by it.
    own_share = own * process_count() / count
    variance = total_over_processes(own) / count + (own_share - own_share.detach())
    spread = variance > 0
    # The square root has an infinite slope at 0: keep it away from there, and the gradient at 0 is 0.
    return variance.where(spread, 1.0).sqrt().where(spread, 0.0)
