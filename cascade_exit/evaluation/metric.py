"""Every exit's average precision on all images, in one pass and on any number of processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torchmetrics import Metric

from cascade_exit.evaluation.calibration import calibration_errors
from cascade_exit.evaluation.coco_ap import coco_metrics
from cascade_exit.evaluation.matching import Matches, match_detections
from cascade_exit.evaluation.truth import DetectionArrays, DetectionsLike, ImageTruth

ROW_WIDTH = 6  # x1, y1, x2, y2, score, label


class ExitAP(Metric):
    """Collects the detections of every exit and scores them when the set is complete.

    Samplers for several processes repeat images to give every process as many; an image that was seen twice, on one
    process or on two, is scored once.

    Args:
        truth: ground truth of the whole set, the same on every process.
        class_names: name of label i+1 at place i.
        exit_names: in order of depth.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    image_ids: list[Tensor]
    counts: list[Tensor]
    rows: list[Tensor]

    def __init__(
        self, truth: Sequence[ImageTruth], class_names: Sequence[str], exit_names: Sequence[str], **kwargs: Any
    ) -> None:
        # What compute() returns depends on its argument, so it must not be remembered.
        super().__init__(compute_with_cache=False, **kwargs)
        self.truth = {image.image_id: image for image in truth}
        self.class_names = tuple(class_names)
        self.exit_names = tuple(exit_names)
        for name in ("image_ids", "counts", "rows"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self._start_states()

    def reset(self) -> None:
        """Forgets everything seen."""
        super().reset()
        self._start_states()

    def _start_states(self) -> None:
        # A process that saw no image would otherwise send a tensor of another shape and type than the rest.
        self.image_ids.append(torch.zeros(0, dtype=torch.int64, device=self.device))
        self.counts.append(torch.zeros(0, len(self.exit_names), dtype=torch.int64, device=self.device))
        self.rows.append(torch.zeros(0, ROW_WIDTH, device=self.device))

    def update(self, image_ids: Int[Tensor, " image"], detections: Mapping[str, Sequence[DetectionsLike]]) -> None:
        """Takes what every exit found on some images.

        Args:
            image_ids: ids of the images.
            detections: by exit name, one entry per image in the order of `image_ids`.

        Raises:
            ValueError: an image that is not in the ground truth, an exit missing or unknown, or not one entry per
                image.
        """
        self._check(image_ids, detections)
        counts = []
        for index in range(len(image_ids)):
            of_image = [detections[name][index] for name in self.exit_names]
            counts.append([len(found.scores) for found in of_image])
            self.rows.extend(_pack(found).to(self.device) for found in of_image)
        if counts:
            self.image_ids.append(image_ids.to(self.device, torch.int64))
            self.counts.append(torch.tensor(counts, device=self.device))

    def _check(self, image_ids: Tensor, detections: Mapping[str, Sequence[DetectionsLike]]) -> None:
        if set(detections) != set(self.exit_names):
            wanted, got = ", ".join(self.exit_names), ", ".join(detections)
            raise ValueError(f"detections must be given for the exits {wanted}; got {got}")
        for name, found in detections.items():
            if len(found) != len(image_ids):
                raise ValueError(f"{name}: {len(found)} lists of detections for {len(image_ids)} images")
        for image_id in image_ids.tolist():
            if image_id not in self.truth:
                raise ValueError(f"detections of image {image_id}, which is not in the ground truth")

    def compute(self, require_all: bool = True) -> dict[str, dict[str, Any]]:
        """Measures of every exit, as `metrics.json` holds them: those of `coco_metrics`, and "ece" and "nll".

        Args:
            require_all: refuse a set of which images were never seen. False scores those that were seen, which is
                what a sanity check over a few batches wants.

        Raises:
            ValueError: images of the ground truth were never seen and `require_all` is set.
        """
        by_exit = self.detections_by_exit()
        seen = next(iter(by_exit.values()), {}).keys()
        missing = sorted(self.truth.keys() - seen)
        if require_all and missing:
            raise ValueError(
                f"{len(missing)} of {len(self.truth)} images were never evaluated (the first is image {missing[0]}); "
                "average precision would be wrong without them"
            )
        truth = [self.truth[image_id] for image_id in seen]
        return {
            name: exit_measures(match_detections(truth, found, self.class_names)) for name, found in by_exit.items()
        }

    def detections_by_exit(self) -> dict[str, dict[int, DetectionArrays]]:
        """What was collected on this process: for each exit, detections by image id, each image once."""
        image_ids = _joined(self.image_ids).tolist()
        counts = _joined(self.counts)
        blocks = np.split(_joined(self.rows), np.cumsum(counts.ravel())[:-1]) if counts.size else []
        by_exit: dict[str, dict[int, DetectionArrays]] = {name: {} for name in self.exit_names}
        for index, image_id in enumerate(image_ids):
            for depth, name in enumerate(self.exit_names):
                if image_id not in by_exit[name]:
                    by_exit[name][image_id] = _unpack(blocks[index * len(self.exit_names) + depth])
        return by_exit


def exit_measures(matches: Matches) -> dict[str, Any]:
    """One exit's measures: those of `coco_metrics`, and "ece" and "nll"."""
    return coco_metrics(matches) | calibration_errors(matches)


def _pack(found: DetectionsLike) -> Tensor:
    columns = [found.boxes, found.scores[:, None], found.labels[:, None]]
    return torch.cat([column.detach().to(found.boxes.device, torch.float32) for column in columns], dim=1)


def _unpack(rows: np.ndarray) -> DetectionArrays:
    return DetectionArrays(boxes=rows[:, :4], scores=rows[:, 4], labels=rows[:, 5].astype(np.int64))


def _joined(state: list[Tensor] | Tensor) -> np.ndarray:
    # After gathering from other processes the state is one tensor, before it is a list of them.
    whole = torch.cat(state) if isinstance(state, list) else state
    return whole.cpu().numpy()
