"""What fitting a rule to a trace has in common."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from cascade_exit.model import FULL, Digest
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.runs import UserError
from cascade_exit.trace import Trace


def digests_at(
    trace: Trace, exit_name: str, calibration: Mapping[str, ExitCalibration] | None = None
) -> tuple[Digest, Digest | None]:
    """The digests that a rule sees: those of an exit and of the exit before it, calibrated.

    Raises:
        UserError: the trace holds no image, or no such exit, or the exit is the last.
    """
    names = trace.header.exit_names
    if exit_name not in names or exit_name == FULL:
        raise UserError(f"exit must be one of {', '.join(names[:-1])}, got {exit_name}")
    if not len(trace):
        raise UserError(f"the trace of {trace.header.role} holds no image: nothing can be fitted to it")
    place = names.index(exit_name)
    digests = [_calibrated(trace, name, calibration or {}) for name in names[max(place - 1, 0) : place + 1]]
    return digests[-1], digests[0] if place else None


def standardised(
    features: Float[Tensor, "image feature"], images: Bool[np.ndarray, " image"]
) -> tuple[Float[np.ndarray, "kept feature"], Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """The features of some images with mean 0 and deviation 1, the means and the scales.

    A feature that is the same for all of them keeps the scale 1.

    Raises:
        UserError: no image is left, or a feature is no number.
    """
    kept = features.numpy()[images]
    if not len(kept):
        raise UserError("no image is left to fit a rule to")
    if not np.isfinite(kept).all():
        wrong = int((~np.isfinite(kept)).any(axis=1).sum())
        raise UserError(f"statistics are no numbers for {wrong} of {len(kept)} images: trace again with a sound model")
    means, scales = kept.mean(axis=0), kept.std(axis=0)
    # Of equal numbers, rounding leaves a deviation that is not quite zero.
    scales = np.where(scales > 1e-9 * (1 + np.abs(means)), scales, 1.0)
    return (kept - means) / scales, means, scales


def all_images(trace: Trace, images: Bool[np.ndarray, " image"] | None) -> Bool[np.ndarray, " image"]:
    """The mask given, or one of all images."""
    return np.ones(len(trace), dtype=bool) if images is None else images


def numbers(values: Float[np.ndarray, " n"]) -> tuple[float, ...]:
    """Plain numbers, as rules hold them."""
    return tuple(float(value) for value in values)


def _calibrated(trace: Trace, name: str, calibration: Mapping[str, ExitCalibration]) -> Digest:
    digest = trace.exits[name].digest
    return calibration[name].digest(digest) if name in calibration else digest
