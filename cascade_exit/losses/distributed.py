"""What makes gradients averaged over processes equal to those of one process with the whole batch.

DDP averages gradients over processes. A loss `sum / count` over the whole batch is therefore written on each process as
`own sum / (whole count / processes)`: the mean over processes of these is the loss of the whole batch.

Processes talk only while gradients are recorded. Without gradients (validation) each process speaks for its own batch:
it may have more batches than another one, and a collective call would then wait for ever.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float, Num
from torch import Tensor


def process_count() -> int:
    """Number of processes whose gradients are averaged; 1 without DDP and while no gradients are recorded."""
    shared = dist.is_available() and dist.is_initialized() and torch.is_grad_enabled()
    return dist.get_world_size() if shared else 1


def total_over_processes(amount: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
    """Sum of `amount` over the processes, without gradient."""
    total = amount.detach().clone()
    if process_count() > 1:
        dist.all_reduce(total)
    return total


def share_of_total(amount: Float[Tensor, ""], at_least: float) -> Float[Tensor, ""]:
    """This process's divisor: the amount summed over all processes, divided by their number.

    Args:
        amount: a count or a sum of weights over this process's batch.
        at_least: lower limit of the sum over all processes, above 0, so that nothing is divided by 0.
    """
    return total_over_processes(amount).clamp(min=at_least) / process_count()
