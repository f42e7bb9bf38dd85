"""A loss near zero is an alarm, not a success, as long as nothing is detected."""

from collections.abc import Mapping

LOSS_NEAR_ZERO = 1e-3
AP_NEAR_ZERO = 1e-4


def trivial_loss_warnings(multibox_losses: Mapping[str, float], average_precisions: Mapping[str, float]) -> list[str]:
    """One line for each exit whose loss is near zero while it detects nothing.

    Args:
        multibox_losses: classification plus localization of each exit, mean over the epoch.
        average_precisions: AP of each exit in [0, 1], of the same epoch. Exits missing here, and values that are no
            measurement (NaN, COCO's -1 for a set without objects), raise no alarm.
    """
    return [
        f"{exit_name}: loss {loss:.1e} is near zero while AP is {average_precisions[exit_name]:.4f}: the exit has most "
        f'likely learnt the trivial answer "everything is background". Check that its training targets are not all '
        f"background: boxes in other units than input pixels, wanted classes missing from the annotations, or anchors "
        f"that match no object."
        for exit_name, loss in multibox_losses.items()
        if loss < LOSS_NEAR_ZERO and 0 <= average_precisions.get(exit_name, -1.0) < AP_NEAR_ZERO
    ]
