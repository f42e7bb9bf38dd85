"""Random cascades whose answers differ from image to image, pictures for them, and traces of what they say."""

import copy
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from cascade_exit.data import ClassMap
from cascade_exit.evaluation import ImageTruth
from cascade_exit.model import CascadeDetector, DecodingConfig, decode_kept, make_digest
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies.policy import Policy
from cascade_exit.runtime.detector import Detector
from cascade_exit.trace import DetectionTable, ExitTrace, Quality, Trace, TraceHeader
from tests.model.networks import SIZE_PX, variant

CLASSES = ("chair", "tv")
MODEL = "0123456789abcdef"
IMAGES = 32
# Factor on the weights that make class logits: brings scores all over [0, 1].
LOUDNESS = 3


@cache
def checkpoint(name: str) -> Checkpoint:
    """A small random cascade (see `tests.model.networks`) whose answers tell images apart."""
    network: CascadeDetector = copy.deepcopy(variant(name))
    # Batch norm that suits the pictures: otherwise an untrained trunk says nearly the same of all of them.
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
    with torch.no_grad():
        network.train()(pictures())
        network.eval()
        for part_name, part in network.named_modules():
            if isinstance(part, nn.Conv2d) and part_name.split(".")[-3:-2] == ["classification"]:
                part.weight.mul_(LOUDNESS)
    return Checkpoint(network.config, ClassMap(CLASSES), DecodingConfig(), network.state_dict())


@cache
def detector(name: str = "plain", precise: bool = True) -> Detector:
    """In 64 bit where precise: then an image's answer does not depend on the batch that it is in."""
    one = Detector(checkpoint(name))
    if precise:
        one.network.double()
    return one


@cache
def pictures(count: int = IMAGES, seed: int = 0) -> Tensor:
    """Blotches of all contrasts."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) - 0.5
    middle, contrast = (torch.rand(count, 3, 1, 1, generator=generator) for _ in range(2))
    fine = nn.functional.interpolate(coarse, size=(SIZE_PX, SIZE_PX), mode="bilinear")
    return ((middle + 2 * contrast * fine).clamp(0, 1) * 255).to(torch.uint8)


@cache
def trace(name: str = "plain", precise: bool = True) -> Trace:
    """What every exit says of all pictures, from one batch."""
    one, images = detector(name, precise), pictures()
    sizes = torch.full((len(images), 2), SIZE_PX)
    nothing = np.zeros(len(images))
    exits = {}
    # Only here: cached networks that were made in this mode would be of no use to other tests.
    with torch.inference_mode():
        outputs = one.network(images.contiguous(memory_format=torch.channels_last))
    digests = {exit_name: make_digest(output, one.network.grids[exit_name]) for exit_name, output in outputs.items()}
    earlier = {exit_name: digests[before] for exit_name, before in one.checkpoint.model.averaged_with.items()}
    for exit_name, output in outputs.items():
        grid, model = one.network.grids[exit_name], one.checkpoint.model
        kept = decode_kept(output, grid, model.input, sizes, earlier=earlier.get(exit_name))
        table = DetectionTable(
            np.cumsum([0, *(len(part.logits) for part in kept)]),
            *(torch.cat([part.detections[column] for part in kept]).numpy() for column in range(3)),
            torch.cat([part.logits for part in kept]).numpy(),
        )
        quality = Quality(nothing, nothing, nothing.astype(int))
        exits[exit_name] = ExitTrace(table, digests[exit_name], quality)
    header = TraceHeader(MODEL, "none", "calibrate", CLASSES, one.exit_names, 0.3, dict.fromkeys(one.exit_names, 1))
    none = np.zeros(0)
    truth = tuple(
        ImageTruth(number, SIZE_PX, SIZE_PX, np.zeros((0, 4)), none.astype(int), none.astype(bool), none)
        for number in range(len(images))
    )
    return Trace(header, truth, None, exits)


def policy(rules: dict, **more: object) -> Policy:
    return Policy(model=MODEL, classes=CLASSES, rules=rules, **more)
