"""What a trace holds: per image and exit, detections, digest and quality on one split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int

from cascade_exit.evaluation import DetectionArrays, ImageTruth, Quality
from cascade_exit.model import Digest


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """Detections of all images of a split, one image after the other, each image's best score first.

    Attributes:
        offsets: row of each image's first detection, and the number of rows at the end.
        boxes: xyxy in pixels of the stored image.
        scores: in [0, 1].
        labels: 1-based class labels.
        logits: class logits of the anchor that each detection came from, averaged ones where the exit before has a say;
            label 0 is background.
    """

    offsets: Int[np.ndarray, " image_and_end"]
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
class ExitTrace:
    """What one exit said of every image.

    Attributes:
        detections: as `model.decode` gives them.
        digest: tensors on the CPU, `[image ...]`.
        quality: against the ground truth, at the header's score threshold.
    """

    detections: DetectionTable
    digest: Digest
    quality: Quality


@dataclass(frozen=True, eq=False)
class TraceHeader:
    """What a trace belongs to.

    Attributes:
        model: its fingerprint, of weights and settings.
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

    def subset(self, places: Int[np.ndarray, " kept"]) -> "Trace":
        """The trace of some of the images.

        Args:
            places: ascending, without repeats. The header stays: the fingerprint of the data is that of the whole set.

        Raises:
            ValueError: places that are not ascending.
        """
        if (np.diff(places) <= 0).any():
            raise ValueError("places must be ascending, without repeats")
        difficulties = self.difficulties and tuple(self.difficulties[place] for place in places)
        exits = {name: _some_images(of_exit, places) for name, of_exit in self.exits.items()}
        return Trace(self.header, tuple(self.truth[place] for place in places), difficulties, exits)


def _some_images(of_exit: ExitTrace, places: np.ndarray) -> ExitTrace:
    table, quality = of_exit.detections, of_exit.quality
    counts = np.diff(table.offsets)[places]
    offsets = np.cumsum([0, *counts])
    rows = np.arange(offsets[-1]) + np.repeat(table.offsets[:-1][places] - offsets[:-1], counts)
    return ExitTrace(
        DetectionTable(offsets, table.boxes[rows], table.scores[rows], table.labels[rows], table.logits[rows]),
        of_exit.digest.of(torch.from_numpy(places)),
        Quality(quality.recall[places], quality.f1[places], quality.false_positives[places]),
    )
