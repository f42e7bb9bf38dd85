"""From an exit's raw answer to detections: softmax, box decoding and NMS, vectorised over classes."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import nms

from cascade_exit.data import InputConfig, boxes_to_original
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.boxes import decode_boxes
from cascade_exit.model.output import Detections, ExitOutput


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
        logits: class logits of the anchor that each detection came from.
    """

    detections: Detections
    logits: Float[Tensor, "detection label"]


def decode(
    output: ExitOutput,
    grid: AnchorGrid,
    input_config: InputConfig,
    original_sizes: Int[Tensor, "batch 2"],
    config: DecodingConfig = DecodingConfig(),
) -> list[Detections]:
    """Detections of every image of a batch, in pixels of the original images.

    Args:
        output: one exit's answer.
        grid: the exit's anchors.
        input_config: how images were brought to the input size.
        original_sizes: height and width of each original image.
        config: thresholds and counts.
    """
    return [kept.detections for kept in decode_kept(output, grid, input_config, original_sizes, config)]


def decode_kept(
    output: ExitOutput,
    grid: AnchorGrid,
    input_config: InputConfig,
    original_sizes: Int[Tensor, "batch 2"],
    config: DecodingConfig = DecodingConfig(),
) -> list[Kept]:
    """As `decode`, with the logits that each detection came from."""
    scores = output.class_logits.float().softmax(dim=-1)[..., 1:].transpose(1, 2)
    boxes = decode_boxes(output.box_deltas.float(), grid.on(output.box_deltas.device)).clamp(0, grid.input_size_px)
    count = min(config.candidates_per_class, scores.shape[-1])
    scores, anchors = scores.topk(count, dim=-1)
    kept = []
    for image, original_size in enumerate(original_sizes):
        candidates = boxes[image][anchors[image]]
        detections, of_anchor = _decode_image(
            scores[image], candidates, anchors[image], input_config, original_size, config
        )
        kept.append(Kept(detections, output.class_logits[image][of_anchor].float()))
    return kept


def _decode_image(
    scores: Float[Tensor, "class_ candidate"],
    boxes: Float[Tensor, "class_ candidate 4"],
    anchors: Int[Tensor, "class_ candidate"],
    input_config: InputConfig,
    original_size: Int[Tensor, "2"],
    config: DecodingConfig,
) -> tuple[Detections, Int[Tensor, " detection"]]:
    classes, candidates = (scores > config.score_threshold).nonzero(as_tuple=True)
    kept_scores, kept_boxes = scores[classes, candidates], boxes[classes, candidates]
    # One NMS for all classes: boxes of different classes are moved apart. In float64, because a far offset would
    # cost float32 the digits that decide about an overlap near the threshold.
    apart = kept_boxes.double() + (classes * (2 * input_config.size_px)).double()[:, None]
    keep = nms(apart, kept_scores.double(), config.nms_iou)[: config.detections_per_image]
    height, width = (int(v) for v in original_size)
    detections = Detections(
        boxes=boxes_to_original(kept_boxes[keep], (height, width), input_config),
        scores=kept_scores[keep],
        labels=classes[keep] + 1,
    )
    return detections, anchors[classes, candidates][keep]
