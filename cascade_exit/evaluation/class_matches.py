"""What matching says of the detections of one class."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_NAMES = ("all", "small", "medium", "large")
AREA_RANGES = np.array([[0.0, 1e10], [0.0, 32.0**2], [32.0**2, 96.0**2], [96.0**2, 1e10]])


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class on all images, best score first (equal scores: in the order of the images).

    Few detections overlap an object enough to match at any threshold. Only for those, the *candidates*, the outcome
    per area range and threshold is kept; every other one counts as a false positive wherever its area is in range.

    Attributes:
        scores: descending.
        images: index of each detection's image into `Matches.image_ids`.
        in_area: whether the detection's own area lies in the range.
        candidates: row numbers, ascending.
        correct: the candidate is a true positive.
        counted: the candidate is a true or a false positive (not: matched to a crowd or to an object out of range).
        truth_count: objects to be found in each image.
    """

    scores: Float[np.ndarray, " detection"]
    images: Int[np.ndarray, " detection"]
    in_area: Bool[np.ndarray, "area detection"]
    candidates: Int[np.ndarray, " candidate"]
    correct: Bool[np.ndarray, "area threshold candidate"]
    counted: Bool[np.ndarray, "area threshold candidate"]
    truth_count: Int[np.ndarray, "area image"]

    def some(self, kept: Bool[np.ndarray, " detection"]) -> "ClassMatches":
        """Without the other detections; the objects stay."""
        kept_candidates = kept[self.candidates]
        return ClassMatches(
            scores=self.scores[kept],
            images=self.images[kept],
            in_area=self.in_area[:, kept],
            candidates=(np.cumsum(kept) - 1)[self.candidates[kept_candidates]],
            correct=self.correct[:, :, kept_candidates],
            counted=self.counted[:, :, kept_candidates],
            truth_count=self.truth_count,
        )
