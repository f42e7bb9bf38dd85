"""Random traces, and a comparison to the last bit."""

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from cascade_exit.evaluation import ImageTruth
from cascade_exit.model import Digest
from cascade_exit.trace import DetectionTable, ExitTrace, Quality, Trace, TraceHeader

CLASSES = ("chair", 'tüv "quoted"', "dining table")


def random_trace(seed: int, images: int, most: int = 6, best: int = 5, exits: int = 3, sized: bool = True) -> Trace:
    """A trace of random values; many images have no object or no detection, some values are NaN or infinite."""
    rng = np.random.default_rng(seed)
    names = (*(f"exit{index}" for index in range(1, exits)), "full")
    header = TraceHeader(
        model=f"{rng.integers(2**62):016x}",
        data="5e1",
        role="calibrate",
        classes=CLASSES,
        exit_names=names,
        score_threshold=float(rng.random()),
        macs={name: int(rng.integers(2**40)) for name in names},
    )
    known = (
        None if rng.random() < 0.3 else tuple(str(rng.choice(["empty", "simple", "crowded"])) for _ in range(images))
    )
    truth = tuple(_truth(rng, 7 * place, most, sized) for place in range(images))
    return Trace(header, truth, known, {name: _exit_trace(rng, images, most, best) for name in names})


def _truth(rng: np.random.Generator, image_id: int, most: int, sized: bool) -> ImageTruth:
    count = int(rng.integers(0, most + 1)) * int(rng.random() < 0.6)
    return ImageTruth(
        image_id=image_id,
        width=int(rng.integers(1, 900)),
        height=int(rng.integers(1, 900)),
        boxes=rng.random((count, 4), np.float32),
        labels=rng.integers(1, len(CLASSES) + 1, count),
        crowd=rng.random(count) < 0.3,
        areas=rng.random(count, np.float32),
        original_size=(int(rng.integers(1, 4000)), int(rng.integers(1, 4000))) if sized and image_id % 2 else None,
    )


def _exit_trace(rng: np.random.Generator, images: int, most: int, best: int) -> ExitTrace:
    counts = rng.integers(0, most + 1, images) * (rng.random(images) < 0.6)
    rows, labels = int(counts.sum()), len(CLASSES) + 1
    odd = np.array([np.nan, np.inf, -0.0, np.float32(1e-45), 0.3], np.float32)
    return ExitTrace(
        detections=DetectionTable(
            offsets=np.cumsum([0, *counts], dtype=np.int64),
            boxes=rng.random((rows, 4), np.float32),
            scores=rng.random(rows, np.float32),
            labels=rng.integers(1, labels, rows),
            logits=rng.choice(odd, (rows, labels)),
        ),
        digest=Digest(
            boxes=torch.from_numpy(rng.random((images, best, 4), np.float32)),
            logits=torch.from_numpy(rng.choice(odd, (images, best, labels))),
            mean_confidence=torch.from_numpy(rng.random(images, np.float32)),
            mean_entropy=torch.from_numpy(rng.random(images, np.float32)),
        ),
        quality=Quality(
            recall=rng.choice(odd.astype(np.float64), images),
            f1=rng.choice(odd.astype(np.float64), images),
            false_positives=rng.integers(0, 9, images),
        ),
    )


def assert_same(one: Any, other: Any, where: str = "trace") -> None:
    """Equal to the last bit, types of values included."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        one, other = one.numpy(), other.numpy()
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), where
    elif isinstance(one, Digest):
        assert_same(one.parts(), other.parts(), where)
    elif hasattr(one, "__dataclass_fields__"):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{place}]")
    else:
        assert one == other, where
