"""What judging every exit on a whole set adds to the time of the network: 1,000 images, three exits, 13 classes.

Run it as `python -m tests.benchmarks.bench_evaluation`. The exits' raw answers are made up: boxes near most objects,
better ones the deeper the exit, and a background in which some 5 % of the scores pass the threshold, so that every
image has its 100 detections. Timed is what validation does with them, on one thread and in processor time, which other
work on the machine disturbs little.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torchvision.ops import box_iou

from cascade_exit.data import InputConfig
from cascade_exit.evaluation import ExitAP, ImageTruth
from cascade_exit.model import AnchorGrid, DecodingConfig, ExitOutput, decode, mean_confidence
from cascade_exit.model.boxes import encode_boxes
from tests.benchmarks import bench_mixture

SIZE_PX, BATCH = 320, 16
WANTED_S = 5.0
BACKGROUND, SPREAD = 9.5, 1.1  # of the logits; with the first the share of scores above the threshold falls
# Overlap from which on an anchor answers for an object, and what its logit of the class is per overlap.
NEAR_IOU, LOGIT_PER_IOU = 0.35, 1.3 * BACKGROUND


def answer(
    images: list[ImageTruth], grid: AnchorGrid, classes: int, noise: float, generator: torch.Generator
) -> ExitOutput:
    """An exit's answer for a batch; `noise` is that of the boxes, in units of SSD's deltas."""
    shape = (len(images), len(grid.boxes))
    logits = SPREAD * torch.randn(*shape, classes + 1, generator=generator)
    logits[..., 0] += BACKGROUND
    deltas = torch.randn(*shape, 4, generator=generator)
    for image, of_logits, of_deltas in zip(images, logits, deltas, strict=True):
        if not len(image.labels):
            continue
        boxes = torch.from_numpy(image.boxes).float() * (SIZE_PX / bench_mixture.SIZE_PX)
        overlap, nearest = box_iou(grid.boxes, boxes).max(dim=1)
        near = (overlap > NEAR_IOU).nonzero()[:, 0]
        labels = torch.from_numpy(image.labels)[nearest[near]]
        of_logits[near, labels] += LOGIT_PER_IOU * overlap[near]
        of_deltas[near] = of_deltas[near] * noise + encode_boxes(boxes[nearest[near]], grid.boxes[near])
    return ExitOutput(logits, deltas)


class Parts:
    """Processor time in seconds, by what it was spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.seconds[name] += time.process_time() - begin


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("images", 1000), ("exits", 3), ("classes", 13)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    truth = bench_mixture.make_truth(np.random.default_rng(0), options.images, options.classes)
    generator, grid, decoding = torch.Generator().manual_seed(0), AnchorGrid(SIZE_PX), DecodingConfig()
    exits = {f"exit{depth}": 2.0 / 2**depth for depth in range(options.exits)}
    metric = ExitAP(truth, [f"class {index}" for index in range(options.classes)], tuple(exits))

    parts, kept = Parts(), 0
    for start in range(0, options.images, BATCH):
        images = truth[start : start + BATCH]
        outputs = {name: answer(images, grid, options.classes, noise, generator) for name, noise in exits.items()}
        sizes = torch.full((len(images), 2), bench_mixture.SIZE_PX)
        with parts("mean confidence"):
            for output in outputs.values():
                mean_confidence(output.class_logits)
        with parts("decoding and NMS"):
            found = {
                name: decode(output, grid, InputConfig(size_px=SIZE_PX), sizes, decoding)
                for name, output in outputs.items()
            }
        with parts("collecting"):
            metric.update(torch.tensor([image.image_id for image in images]), found)
        kept += sum(len(each.scores) for of_exit in found.values() for each in of_exit)
    with parts("matching, AP, AR, calibration"):
        measures = metric.compute()

    averages = ", ".join(f"{name} {of_exit['AP']:.3f}" for name, of_exit in measures.items())
    print(f"{kept / options.images / options.exits:.0f} detections an image and exit; AP {averages}")
    print("; ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.seconds.items()))
    total = sum(parts.seconds.values())
    verdict = "reached" if total <= WANTED_S else "missed"
    what = f"{options.images} images, {options.exits} exits, {options.classes} classes"
    print(f"{what}: {total:.2f} s beside the network, wanted {WANTED_S:g} s: {verdict}")


if __name__ == "__main__":
    main()
