"""Small traces of a made-up cascade: easy, hard and empty images, and exits that see more the deeper they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cascade_exit.evaluation import ImageTruth, image_quality, match_detections
from cascade_exit.model import Digest, label_probabilities
from cascade_exit.trace import DetectionTable, ExitTrace, Trace, TraceHeader

SIZE_PX = 320
ANCHORS = 100
MACS = {"exit1": 180_000_000, "exit2": 400_000_000, "full": 600_000_000}
SKILL = {"exit1": -0.5, "exit2": 0.6, "full": 1.6}
EASE = {"empty": 0.0, "simple": 1.8, "crowded": -1.0}


class _Seen(NamedTuple):
    """What one exit makes of one image: one row per anchor."""

    boxes: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


def make_trace(
    images: int = 60,
    classes: int = 1,
    seed: int = 0,
    exit_names: Sequence[str] = ("exit1", "exit2", "full"),
    sharpness: Sequence[float] = (1.0, 1.0, 1.0),
    empty: float = 0.2,
    hard: float = 0.4,
    crowd: float = 0.0,
    role: str = "calibrate",
) -> Trace:
    """Draws a trace.

    An object is found with the probability that the exit gives it, so an exit of sharpness 1 is calibrated; one of
    sharpness 2 says twice the log-odds and is put right by a temperature of 2. What a shallow exit finds, a deeper
    one that is as sure finds too.

    Args:
        images: their number.
        classes: their number.
        seed: everything is a function of it and of the other arguments.
        exit_names: of exit1, exit2, full.
        sharpness: of each exit's log-odds.
        empty: share of images without objects.
        hard: share of crowded images among those with objects.
        crowd: share of objects that are crowds.
        role: of the header.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"thing{label}" for label in range(1, classes + 1))
    difficulties = tuple(_difficulty(rng, empty, hard) for _ in range(images))
    truth = tuple(_truth(rng, 11 + 3 * place, kind, classes, crowd) for place, kind in enumerate(difficulties))
    luck = [rng.random(len(image.labels)) for image in truth]
    exits = {}
    for name, sharp in zip(exit_names, sharpness, strict=True):
        seen = [
            _see(rng, image, lucky, EASE[kind] + SKILL[name], sharp, classes)
            for image, lucky, kind in zip(truth, luck, difficulties, strict=True)
        ]
        exits[name] = _exit_trace(seen, truth, names)
    header = TraceHeader(
        model="a" * 64,
        data="d" * 64,
        role=role,
        classes=names,
        exit_names=tuple(exit_names),
        score_threshold=0.3,
        macs={name: MACS[name] for name in exit_names},
    )
    return Trace(header, truth, difficulties, exits)


def _difficulty(rng: np.random.Generator, empty: float, hard: float) -> str:
    if rng.random() < empty:
        return "empty"
    return "crowded" if rng.random() < hard else "simple"


def _truth(rng: np.random.Generator, image_id: int, kind: str, classes: int, crowd: float) -> ImageTruth:
    count = {"empty": 0, "simple": int(rng.integers(1, 3)), "crowded": int(rng.integers(3, 7))}[kind]
    # One object per cell of a grid, so that none hides another.
    cells = rng.permutation(9)[:count]
    side = rng.uniform(45, 95, (count, 2))
    corner = np.stack([cells % 3, cells // 3], axis=1) * 105.0 + rng.uniform(0, 8, (count, 2))
    return ImageTruth(
        image_id,
        SIZE_PX,
        SIZE_PX,
        np.concatenate([corner, corner + side], axis=1).astype(np.float32),
        rng.integers(1, classes + 1, count),
        rng.random(count) < crowd,
        side.prod(axis=1).astype(np.float32),
    )


def _see(
    rng: np.random.Generator, image: ImageTruth, luck: np.ndarray, ease: float, sharp: float, classes: int
) -> _Seen:
    objects = len(image.labels)
    clutter = int(rng.integers(2, 9))
    log_odds = np.concatenate(
        [
            ease + rng.normal(0, 0.8, objects),
            rng.normal(-5.2, 0.7, clutter),
            np.full(ANCHORS - objects - clutter, -16.0) + rng.normal(0, 0.2, ANCHORS - objects - clutter),
        ]
    )
    boxes = np.concatenate([image.boxes, _elsewhere(rng, ANCHORS - objects)])
    missed = np.flatnonzero(luck >= 1 / (1 + np.exp(-log_odds[:objects])))
    boxes[missed] = _elsewhere(rng, missed.size)
    side = (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]]
    boxes = boxes + rng.normal(0, 0.04, boxes.shape).clip(-0.07, 0.07) * side
    labels = np.concatenate([image.labels, rng.integers(1, classes + 1, ANCHORS - objects)])
    logits = np.full((ANCHORS, classes + 1), -20.0 * sharp)
    logits[:, 0] = 0.0
    logits[np.arange(ANCHORS), labels] = sharp * log_odds
    order = np.argsort(-log_odds, kind="stable")
    return _Seen(boxes[order].clip(0, SIZE_PX).astype(np.float32), logits[order].astype(np.float32), labels[order])


def _elsewhere(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes too small to be any object."""
    corner = rng.uniform(0, SIZE_PX - 30, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 24, (count, 2))], axis=1).astype(np.float32)


def _exit_trace(seen: Sequence[_Seen], truth: Sequence[ImageTruth], names: tuple[str, ...]) -> ExitTrace:
    table = _detections(seen, len(names))
    matches = match_detections(truth, table.by_image_id([image.image_id for image in truth]), names)
    logits = torch.tensor(np.stack([each.logits for each in seen])) if seen else torch.zeros(0, ANCHORS, len(names) + 1)
    boxes = torch.tensor(np.stack([each.boxes for each in seen])) if seen else torch.zeros(0, ANCHORS, 4)
    probability = logits.softmax(dim=-1)
    entropy = -(probability * logits.log_softmax(dim=-1)).sum(dim=-1).mean(dim=-1) / np.log(len(names) + 1)
    digest = Digest(boxes, logits, probability.amax(dim=-1).mean(dim=-1), entropy.float())
    return ExitTrace(table, digest, image_quality(matches, 0.3))


def _detections(seen: Sequence[_Seen], classes: int) -> DetectionTable:
    kept = []
    for each in seen:
        # As decoding takes them, to the last bit.
        scores = label_probabilities(torch.tensor(each.logits)).numpy()[np.arange(ANCHORS), each.labels]
        order = np.argsort(-scores, kind="stable")
        rows = order[scores[order] > 0.001]
        kept.append((each.boxes[rows], scores[rows], each.labels[rows], each.logits[rows]))
    empty = (
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros((0, classes + 1), np.float32),
    )
    columns = [np.concatenate([part, *(each[place] for each in kept)]) for place, part in enumerate(empty)]
    offsets = np.cumsum([0, *(len(each[1]) for each in kept)])
    return DetectionTable(offsets, *columns)
