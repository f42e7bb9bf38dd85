"""From an exit's raw answer to detections: softmax, box decoding and NMS, vectorised over classes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import nms

from cascade_exit.data import InputConfig, boxes_to_original
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.averaging import average_with_earlier
from cascade_exit.model.boxes import decode_boxes
from cascade_exit.model.config import ModelConfig
from cascade_exit.model.digest import Digest, make_digest
from cascade_exit.model.output import Detections, ExitOutput
from cascade_exit.model.probabilities import label_probabilities

# NMS is first given the best so many anchors for each detection that an image may have. Where it leaves too few, it is
# given as many as would do if it went on leaving that share, times a margin.
FIRST_ANCHORS, MARGIN = 3, 1.3


@dataclass(frozen=True)
class DecodingConfig:
    """SSDLite's post-processing (torchvision's values, with COCO's 100 detections an image).

    Attributes:
        score_threshold: lower scores are dropped.
        candidates_per_class: best anchors of a class that go into NMS.
        nms_iou: overlap above which the weaker box of a class is dropped.
        detections_per_image: kept after NMS, all classes together.
    """

    score_threshold: float = 0.001
    candidates_per_class: int = 300
    nms_iou: float = 0.55
    detections_per_image: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must lie in [0, 1), got {self.score_threshold}")
        if not 0 < self.nms_iou <= 1:
            raise ValueError(f"nms_iou must lie in (0, 1], got {self.nms_iou}")
        for key in ("candidates_per_class", "detections_per_image"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")


class Kept(NamedTuple):
    """Detections of one image and the raw answer behind each of them.

    Attributes:
        detections: best score first.
        logits: class logits of the anchor that each detection came from; averaged ones where the exit before has a
            say.
    """

    detections: Detections
    logits: Float[Tensor, "detection label"]


def decode(
    output: ExitOutput,
    grid: AnchorGrid,
    input_config: InputConfig,
    original_sizes: Int[Tensor, "batch 2"],
    config: DecodingConfig = DecodingConfig(),
    earlier: Digest | None = None,
) -> list[Detections]:
    """Detections of every image of a batch, in pixels of the original images.

    Args:
        output: one exit's answer.
        grid: the exit's anchors.
        input_config: how images were brought to the input size.
        original_sizes: height and width of each original image.
        config: thresholds and counts.
        earlier: what the exit before saw in the same images, where it has a say in the scores.
    """
    return [kept.detections for kept in decode_kept(output, grid, input_config, original_sizes, config, earlier)]


def decode_exits(
    outputs: Mapping[str, ExitOutput],
    grids: Mapping[str, AnchorGrid],
    model: ModelConfig,
    original_sizes: Int[Tensor, "batch 2"],
    config: DecodingConfig = DecodingConfig(),
) -> dict[str, list[Detections]]:
    """Detections of every image of a batch at every exit; see `decode`.

    Args:
        outputs: answers of all exits, by name.
        grids: the anchors of each exit.
        model: says how images were brought to the input size, and which exits have a say in the scores of others.
        original_sizes: height and width of each original image.
        config: thresholds and counts.
    """
    averaged_with = model.averaged_with
    earlier = {name: make_digest(outputs[before], grids[before]) for name, before in averaged_with.items()}
    return {
        name: decode(output, grids[name], model.input, original_sizes, config, earlier.get(name))
        for name, output in outputs.items()
    }


def decode_kept(
    output: ExitOutput,
    grid: AnchorGrid,
    input_config: InputConfig,
    original_sizes: Int[Tensor, "batch 2"],
    config: DecodingConfig = DecodingConfig(),
    earlier: Digest | None = None,
) -> list[Kept]:
    """As `decode`, with the logits that each detection came from."""
    kept = []
    for image, original_size in enumerate(original_sizes):
        # Image by image: the scores of a whole batch would not stay in the cache.
        scores = label_probabilities(output.class_logits[image])[:, 1:]
        best, boxes = _best_boxes(scores, output.box_deltas[image], grid, config)
        found = Detections(boxes, best.scores, best.labels)
        one = Kept(found, output.class_logits[image][best.anchors].float())
        if earlier is not None:
            one = _averaged(one, earlier.boxes[image], earlier.logits[image])
        height, width = (int(v) for v in original_size)
        boxes = boxes_to_original(one.detections.boxes, (height, width), input_config)
        kept.append(Kept(one.detections._replace(boxes=boxes), one.logits))
    return kept


def _averaged(kept: Kept, earlier_boxes: Tensor, earlier_logits: Tensor) -> Kept:
    """Detections of one image, boxes in pixels of the input, as an earlier exit changes their scores and order."""
    boxes, _, labels = kept.detections
    scores, logits = average_with_earlier(boxes, kept.logits, labels, earlier_boxes, earlier_logits)
    order = scores.sort(descending=True, stable=True).indices
    return Kept(Detections(boxes[order], scores[order], labels[order]), logits[order])


class _Candidates(NamedTuple):
    """Pairs of an anchor and a class, best score first; equal ones in the order of anchors."""

    scores: Float[Tensor, " candidate"]
    anchors: Int[Tensor, " candidate"]
    labels: Int[Tensor, " candidate"]

    def at(self, rows: Tensor) -> "_Candidates":
        """Some of the pairs."""
        return _Candidates(*(values[rows] for values in self))


def _best_boxes(
    scores: Float[Tensor, "anchor class_"], deltas: Float[Tensor, "anchor 4"], grid: AnchorGrid, config: DecodingConfig
) -> tuple[_Candidates, Float[Tensor, "candidate 4"]]:
    """What NMS within each class leaves of one image, and its boxes; at most as many as an image may have.

    NMS takes boxes best first, so it need not see weaker ones once enough are kept: it is given the best few, and
    more only where those overlap so much that they leave too little.
    """
    best_class, limit = scores.amax(dim=-1), grid.input_size_px
    every_box = decode_boxes(deltas.float(), grid.on(deltas.device)).clamp(0, limit)
    count = FIRST_ANCHORS * config.detections_per_image
    while True:
        # So many anchors have a class at least this good, so at least as many candidates are.
        lowest = best_class.topk(count, sorted=False).values.min().item() if count < len(best_class) else -math.inf
        candidates = _candidates_from(scores, best_class, lowest, config)
        boxes = every_box[candidates.anchors]
        # One NMS for all classes: boxes of different classes are moved apart. In float64, because a far offset would
        # cost float32 the digits that decide about an overlap near the threshold.
        apart = boxes.double().add(candidates.labels[:, None], alpha=2 * limit)
        keep = nms(apart, candidates.scores.double(), config.nms_iou)
        every_class_full = len(boxes) == scores.shape[1] * config.candidates_per_class
        enough = every_class_full or len(keep) >= config.detections_per_image
        if enough or lowest <= config.score_threshold:
            keep = keep[: config.detections_per_image]
            return candidates.at(keep), boxes[keep]
        # Scores that are no numbers leave nothing at all.
        count = math.ceil(count * MARGIN * config.detections_per_image / max(len(keep), 1))


def _candidates_from(
    scores: Float[Tensor, "anchor class_"],
    best_class: Float[Tensor, " anchor"],
    lowest: float,
    config: DecodingConfig,
) -> _Candidates:
    """Candidates for NMS whose score is above the threshold and not below `lowest`."""

    def wanted(values: Tensor) -> Tensor:
        return values > config.score_threshold if lowest <= config.score_threshold else values >= lowest

    anchors = wanted(best_class).nonzero()[:, 0]
    scores = scores[anchors]
    row, class_ = wanted(scores).nonzero(as_tuple=True)
    values, order = scores[row, class_].sort(descending=True, stable=True)
    candidates = _Candidates(values, anchors[row[order]], class_[order] + 1)
    if len(anchors) <= config.candidates_per_class:  # so no class has more
        return candidates
    by_label = candidates.labels.argsort(stable=True)
    sizes = candidates.labels.bincount()
    first = (sizes.cumsum(0) - sizes)[candidates.labels[by_label]]
    rank = torch.empty_like(by_label)
    rank[by_label] = torch.arange(len(by_label), device=by_label.device) - first
    return candidates.at(rank < config.candidates_per_class)
