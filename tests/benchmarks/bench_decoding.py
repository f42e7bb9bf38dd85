"""Time of decoding and NMS at 91 classes and 3,234 anchors against torchvision's SSD, on the same answers.

Run it as `python -m tests.benchmarks.bench_decoding`. Both sides run on one thread and take turns; processor time is
measured, which other work on the machine disturbs little, and the least of many calls is taken.
"""

import argparse
import statistics
from types import SimpleNamespace

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD

from cascade_exit.data import InputConfig
from cascade_exit.model import AnchorGrid, DecodingConfig, ExitOutput, decode
from tests.benchmarks.timing import timed

SIZE_PX, LABELS = 320, 91
CONFIG = DecodingConfig()
WANTED = 8
# Background logit and spread of all logits, which decide how many (anchor, class) pairs pass the score threshold. With
# the fewest, torchvision is near the least that its loop over classes takes whatever it finds.
LOADS = {"fewest": (10.0, 1.0), "few": (9.5, 1.1), "many": (7.0, 1.5), "most": (3.0, 1.0)}


def answer(batch: int, background: float, spread: float, grid: AnchorGrid, seed: int) -> ExitOutput:
    """Answers with some objects: anchors near a few centres agree on a class."""
    generator = torch.Generator().manual_seed(seed)
    anchors = len(grid.boxes)
    logits = spread * torch.randn(batch, anchors, LABELS, generator=generator)
    logits[..., 0] += background
    centre = (grid.boxes[:, :2] + grid.boxes[:, 2:]) / 2
    for image in range(batch):
        for label in torch.randint(1, LABELS, (7,), generator=generator).tolist():
            place = torch.rand(2, generator=generator) * SIZE_PX
            near = torch.exp(-((centre - place) ** 2).sum(-1) / (2 * 20**2))
            logits[image, :, label] += (background + 2) * near
    return ExitOutput(logits, torch.randn(batch, anchors, 4, generator=generator))


def by_torchvision(output: ExitOutput, grid: AnchorGrid) -> list[dict[str, Tensor]]:
    ssd = SimpleNamespace(
        box_coder=BoxCoder(weights=(10.0, 10.0, 5.0, 5.0)),
        score_thresh=CONFIG.score_threshold,
        topk_candidates=CONFIG.candidates_per_class,
        nms_thresh=CONFIG.nms_iou,
        detections_per_img=CONFIG.detections_per_image,
    )
    heads = {"cls_logits": output.class_logits, "bbox_regression": output.box_deltas}
    batch = len(output.class_logits)
    return SSD.postprocess_detections(ssd, heads, [grid.boxes] * batch, [(SIZE_PX, SIZE_PX)] * batch)


def same(ours: list, theirs: list[dict[str, Tensor]]) -> bool:
    return all(
        torch.equal(mine.labels, his["labels"])
        and torch.allclose(mine.scores, his["scores"], rtol=1e-5)
        and torch.allclose(mine.boxes, his["boxes"], rtol=0, atol=1e-3)
        for mine, his in zip(ours, theirs, strict=True)
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    grid, input_config = AnchorGrid(SIZE_PX), InputConfig(size_px=SIZE_PX)
    for name, (background, spread) in LOADS.items():
        for batch in (1, 8):
            sizes = torch.full((batch, 2), SIZE_PX)
            ratios = []
            for turn in range(options.rounds):
                output = answer(batch, background, spread, grid, seed=turn)
                ours, ours_s = timed(
                    lambda output=output, sizes=sizes: decode(output, grid, input_config, sizes, CONFIG), 30
                )
                theirs, theirs_s = timed(lambda output=output: by_torchvision(output, grid), 9)
                assert same(ours, theirs)
                ratios.append(theirs_s / ours_s)
            above = (output.class_logits.softmax(-1)[..., 1:] > CONFIG.score_threshold).float().mean()
            middle = statistics.median(ratios)
            print(
                f"{name} ({100 * above:.1f} % above the threshold), batch {batch}: {1e3 * ours_s / batch:.2f} ms"
                f" an image against {1e3 * theirs_s / batch:.2f} ms; {middle:.1f}x (rounds: {min(ratios):.1f} to"
                f" {max(ratios):.1f}), wanted {WANTED}x: {'reached' if middle >= WANTED else 'missed'}"
            )


if __name__ == "__main__":
    main()
