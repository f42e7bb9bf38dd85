"""What evaluation reads: the ground truth and the detections of one image, as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

AreaUnit = Literal["original", "stored"]


@runtime_checkable
class _RecordLike(Protocol):
    """The fields of a data set's image record that evaluation needs; see `ImageTruth`."""

    @property
    def image_id(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def boxes(self) -> np.ndarray: ...

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def crowd(self) -> np.ndarray: ...

    @property
    def areas(self) -> np.ndarray: ...

    @property
    def original_size(self) -> tuple[int, int] | None: ...


@runtime_checkable
class DetectionsLike(Protocol):
    """Detections of one image as tensors on any device."""

    @property
    def boxes(self) -> Tensor:
        """Corners xyxy, `[n 4]` pixels of the stored image."""

    @property
    def scores(self) -> Tensor:
        """In [0, 1], `[n]`."""

    @property
    def labels(self) -> Tensor:
        """1-based class labels, `[n]`."""


@dataclass(frozen=True)
class ImageTruth:
    """Ground truth of one image.

    Attributes:
        image_id: unique id.
        width: of the stored image, pixels.
        height: of the stored image, pixels.
        boxes: xyxy in stored pixels.
        labels: 1-based class labels.
        crowd: True where the box stands for a group: it is never missed and never makes a false positive.
        areas: the annotations' `area` in stored pixels (COCO: of the mask, not of the box).
        original_size: (height, width) before the photo was resized for storage, if the annotation carries it.
    """

    image_id: int
    width: int
    height: int
    boxes: Float[np.ndarray, "truth 4"]
    labels: Int[np.ndarray, " truth"]
    crowd: Bool[np.ndarray, " truth"]
    areas: Float[np.ndarray, " truth"]
    original_size: tuple[int, int] | None = None

    @classmethod
    def from_record(cls, record: _RecordLike) -> "ImageTruth":
        """Takes what evaluation needs from a data set's image record."""
        return cls(
            image_id=int(record.image_id),
            width=int(record.width),
            height=int(record.height),
            boxes=record.boxes,
            labels=record.labels,
            crowd=record.crowd,
            areas=record.areas,
            original_size=record.original_size,
        )


@dataclass(frozen=True)
class DetectionArrays:
    """Detections of one image.

    Attributes:
        boxes: xyxy in pixels of the stored image.
        scores: in [0, 1]; any order. Equal scores are ranked in the order given, as COCO's evaluation does.
        labels: 1-based class labels.
    """

    boxes: Float[np.ndarray, "detection 4"]
    scores: Float[np.ndarray, " detection"]
    labels: Int[np.ndarray, " detection"]

    @classmethod
    def from_tensors(cls, detections: DetectionsLike) -> "DetectionArrays":
        """Copies detections held as tensors, on whatever device, to arrays."""
        return cls(
            boxes=detections.boxes.detach().cpu().numpy(),
            scores=detections.scores.detach().cpu().numpy(),
            labels=detections.labels.detach().cpu().numpy(),
        )


def area_unit(ground_truth: Sequence[ImageTruth]) -> AreaUnit:
    """In which pixels small, medium and large are told apart.

    "original" only if every image says how large it was before it was resized: one measure must not mix units.
    """
    known = bool(ground_truth) and all(truth.original_size is not None for truth in ground_truth)
    return "original" if known else "stored"


def area_scales(ground_truth: Sequence[ImageTruth]) -> Float[np.ndarray, " image"]:
    """Factor per image that turns an area in stored pixels into one in pixels of `area_unit`."""
    scales = np.ones(len(ground_truth))
    if area_unit(ground_truth) == "stored":
        return scales
    for index, truth in enumerate(ground_truth):
        if truth.original_size is not None:
            height, width = truth.original_size
            scales[index] = (height * width) / (truth.height * truth.width)
    return scales


def boxes_xywh(boxes_xyxy: Float[np.ndarray, "box 4"]) -> Float[np.ndarray, "box 4"]:
    """Corner boxes to COCO's (left, top, width, height), in double precision as COCO's evaluation computes."""
    boxes = boxes_xyxy.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def check_inputs(
    ground_truth: Sequence[ImageTruth], detections: Mapping[int, DetectionArrays], class_names: Sequence[str]
) -> None:
    """Refuses inputs that would be scored wrongly in silence.

    Raises:
        ValueError: an image id twice in the ground truth, detections for an image that is not in it, or a label
            outside the class names.
    """
    known = [truth.image_id for truth in ground_truth]
    if len(set(known)) != len(known):
        twice = next(image_id for image_id in known if known.count(image_id) > 1)
        raise ValueError(f"image {twice} stands in the ground truth twice; every image id must be unique")
    strangers = set(detections) - set(known)
    if strangers:
        raise ValueError(f"detections of image {min(strangers)}, which is not in the ground truth")
    for truth in ground_truth:
        _check_labels(truth.labels, f"ground truth of image {truth.image_id}", class_names)
    for image_id, found in detections.items():
        _check_labels(found.labels, f"detections of image {image_id}", class_names)


def _check_labels(labels: np.ndarray, where: str, class_names: Sequence[str]) -> None:
    wrong = labels[(labels < 1) | (labels > len(class_names))]
    if wrong.size:
        raise ValueError(f"{where}: label {wrong[0]} is not one of 1 to {len(class_names)}")
