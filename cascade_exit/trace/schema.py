"""What a trace holds: per image and exit, detections, digest and quality on one split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from cascade_exit.evaluation import DetectionArrays, ImageTruth
from cascade_exit.model import Digest


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """Detections of all images of a split, one image after the other, each image's best score first.

    Attributes:
        offsets: row of each image's first detection, and the number of rows at the end.
        boxes: xyxy in pixels of the stored image.
        scores: in [0, 1].
        labels: 1-based class labels.
        logits: class logits of the anchor that each detection came from; label 0 is background.
    """

    offsets: Int[np.ndarray, "images+1"]
    boxes: Float32[np.ndarray, "detection 4"]
    scores: Float32[np.ndarray, " detection"]
    labels: Int[np.ndarray, " detection"]
    logits: Float32[np.ndarray, "detection label"]

    def of_image(self, place: int) -> DetectionArrays:
        """Detections of the image at a place of the split."""
        rows = slice(self.offsets[place], self.offsets[place + 1])
        return DetectionArrays(self.boxes[rows], self.scores[rows], self.labels[rows])

    def by_image_id(self, image_ids: Sequence[int]) -> dict[int, DetectionArrays]:
        """Detections by image id, as matching takes them."""
        return {int(image_id): self.of_image(place) for place, image_id in enumerate(image_ids)}


@dataclass(frozen=True, eq=False)
class Quality:
    """How good an exit's answer is for each image, at IoU 0.5 and the trace's score threshold.

    Attributes:
        recall: found share of the objects that are no crowd; NaN where the image has none.
        f1: harmonic mean of precision and recall; NaN where the image has no objects.
        false_positives: detections that found nothing (those on a crowd are not counted).
    """

    recall: Float[np.ndarray, " image"]
    f1: Float[np.ndarray, " image"]
    false_positives: Int[np.ndarray, " image"]


@dataclass(frozen=True, eq=False)
class ExitTrace:
    """What one exit said of every image.

    Attributes:
        detections: as `model.decode` gives them.
        digest: tensors on the CPU, `[image ...]`.
        quality: against the ground truth.
    """

    detections: DetectionTable
    digest: Digest
    quality: Quality


@dataclass(frozen=True, eq=False)
class TraceHeader:
    """What a trace belongs to.

    Attributes:
        model: fingerprint of the weights.
        data: fingerprint of the set.
        role: part of the set: train, val, calibrate or test.
        classes: name of label i+1 at place i.
        exit_names: from shallow to deep; the last is full.
        score_threshold: of `Quality`.
        macs: of one image that leaves at each exit, by exit name.
    """

    model: str
    data: str
    role: str
    classes: tuple[str, ...]
    exit_names: tuple[str, ...]
    score_threshold: float
    macs: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of a split: enough to answer every question about policies without the network.

    Attributes:
        header: what it belongs to.
        truth: ground truth of the images, ascending by id; every array per image is in this order.
        difficulties: empty, simple or crowded per image, where the set records it; None otherwise.
        exits: by exit name.
    """

    header: TraceHeader
    truth: tuple[ImageTruth, ...]
    difficulties: tuple[str, ...] | None
    exits: Mapping[str, ExitTrace]

    def __len__(self) -> int:
        return len(self.truth)
