"""Draws what happens to one image of a batch."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from cascade_exit.data.augment_config import AugmentConfig

# The minimal IoUs, the trials and the shapes of torchvision's RandomIoUCrop; 1.0 stands for "no crop".
_MIN_IOUS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_TRIALS = 40
_MAX_ASPECT_RATIO = 2.0
# The ranges of torchvision's RandomPhotometricDistort; hue in turns.
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = (0.875, 1.125), (0.5, 1.5), (0.5, 1.5), (-0.05, 0.05)
_LUMA = np.array([0.299, 0.587, 0.114])
# Rows: luma and the two colour axes of NTSC's YIQ, in which a change of hue is a turn about the luma axis.
_RGB_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])

_Matrix = Float64[np.ndarray, "3 3"]


@dataclass(frozen=True)
class AugmentPlan:
    """What happens to one image.

    Args:
        window: xyxy in pixels of the input image; what lies in it fills the output. It may reach beyond the image.
        flip: Mirror the output left to right.
        of_pixel: Matrix from a pixel's RGB to its new RGB.
        of_mean: Matrix from the image's mean RGB to what is added to each pixel.
    """

    window: Float64[np.ndarray, "4"]
    flip: bool
    of_pixel: _Matrix
    of_mean: _Matrix


def draw_plan(
    config: AugmentConfig, boxes: Float32[np.ndarray, "object 4"], size: int, random: np.random.Generator
) -> AugmentPlan:
    """Draws a plan.

    Args:
        config: Probabilities and strengths.
        boxes: xyxy of the objects, without crowds, in input pixels.
        size: Side of the input image in pixels.
        random: The image's own generator.

    Returns:
        The plan.
    """
    of_pixel, of_mean = _draw_colours(config, random)
    window = np.array([0.0, 0.0, size, size])
    if random.random() < config.zoom_out_probability:
        window = _draw_zoom_out(config, size, random)
    if random.random() < config.iou_crop_probability:
        window = _draw_iou_crop(config, window, boxes.astype(np.float64), size, random)
    flip = bool(random.random() < config.flip_probability)
    return AugmentPlan(window=window, flip=flip, of_pixel=of_pixel, of_mean=of_mean)


def _draw_zoom_out(config: AugmentConfig, size: int, random: np.random.Generator) -> Float64[np.ndarray, "4"]:
    side = size * random.uniform(1.0, config.zoom_out_max)
    corner = -(side - size) * random.random(2)
    return np.concatenate([corner, corner + side])


def _draw_iou_crop(
    config: AugmentConfig,
    window: Float64[np.ndarray, "4"],
    boxes: Float64[np.ndarray, "object 4"],
    size: int,
    random: np.random.Generator,
) -> Float64[np.ndarray, "4"]:
    """A part of the window that overlaps a box enough, as torchvision's RandomIoUCrop chooses it.

    An image without objects is cropped as if it were one object as a whole.
    """
    targets = boxes if len(boxes) else np.array([[0.0, 0.0, size, size]])
    while True:
        min_iou = _MIN_IOUS[random.integers(len(_MIN_IOUS))]
        if min_iou == 1.0:
            return window
        scales = random.uniform(config.iou_crop_min_scale, 1.0, (_TRIALS, 2))
        places = random.random((_TRIALS, 2))
        sides = (window[2:] - window[:2]) * scales
        corners = window[:2] + (window[2:] - window[:2] - sides) * places
        crops = np.concatenate([corners, corners + sides], axis=1)
        ratios = sides[:, 0] / sides[:, 1]
        shaped = (ratios <= _MAX_ASPECT_RATIO) & (ratios >= 1 / _MAX_ASPECT_RATIO)
        found = np.flatnonzero(shaped & _overlaps(crops, targets, min_iou))
        if len(found):
            return crops[found[0]]


def _overlaps(
    crops: Float64[np.ndarray, "crop 4"], boxes: Float64[np.ndarray, "object 4"], min_iou: float
) -> np.ndarray:
    """Whether a crop holds the centre of at least one box that it overlaps by the minimal IoU."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres > crops[:, None, :2]) & (centres < crops[:, None, 2:])).all(axis=2)
    shared = np.minimum(crops[:, None, 2:], boxes[:, 2:]) - np.maximum(crops[:, None, :2], boxes[:, :2])
    shared_area = shared.clip(min=0).prod(axis=2)
    union = (crops[:, 2:] - crops[:, :2]).prod(axis=1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return (inside & (shared_area / (union - shared_area) >= min_iou)).any(axis=1)


def _draw_colours(config: AugmentConfig, random: np.random.Generator) -> tuple[_Matrix, _Matrix]:
    """Composes the photometric changes, in the order of torchvision's RandomPhotometricDistort."""
    brightness, contrast, saturation, hue, shuffle = random.random(5) < config.photometric_probability
    early_contrast = random.random() < 0.5
    of_pixel, of_mean = np.eye(3), np.zeros((3, 3))
    contrast_factor = random.uniform(*_CONTRAST) if contrast else 1.0
    if brightness:
        factor = random.uniform(*_BRIGHTNESS)
        of_pixel, of_mean = factor * of_pixel, factor * of_mean
    if early_contrast:
        of_pixel, of_mean = contrast_matrices(of_pixel, of_mean, contrast_factor)
    if saturation:
        matrix = saturation_matrix(random.uniform(*_SATURATION))
        of_pixel, of_mean = matrix @ of_pixel, matrix @ of_mean
    if hue:
        matrix = hue_matrix(random.uniform(*_HUE))
        of_pixel, of_mean = matrix @ of_pixel, matrix @ of_mean
    if not early_contrast:
        of_pixel, of_mean = contrast_matrices(of_pixel, of_mean, contrast_factor)
    if shuffle:
        order = random.permutation(3)
        of_pixel, of_mean = of_pixel[order], of_mean[order]
    return of_pixel, of_mean


def contrast_matrices(of_pixel: _Matrix, of_mean: _Matrix, factor: float) -> tuple[_Matrix, _Matrix]:
    """Follows two colour matrices by a change of contrast about the image's mean luma."""
    mean_luma = np.outer(np.ones(3), _LUMA) @ (of_pixel + of_mean)
    return factor * of_pixel, factor * of_mean + (1 - factor) * mean_luma


def saturation_matrix(factor: float) -> _Matrix:
    """Matrix that moves colours away from (above 1) or towards (below 1) their luma."""
    return factor * np.eye(3) + (1 - factor) * np.outer(np.ones(3), _LUMA)


def hue_matrix(turns: float) -> _Matrix:
    """Matrix that turns the hue of colours and keeps their luma."""
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    turn = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    return np.linalg.inv(_RGB_TO_YIQ) @ turn @ _RGB_TO_YIQ
