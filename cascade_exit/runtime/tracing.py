"""One pass of a detector over a split that keeps what every exit said."""

from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cascade_exit.data import Batch, CocoSet, EvaluationBatchSampler, ImageStore, evaluation_loader
from cascade_exit.evaluation import ImageTruth, image_quality, match_detections
from cascade_exit.model import Digest, Kept, decode_kept, make_digest
from cascade_exit.runs import UserError
from cascade_exit.runtime.detector import Detector
from cascade_exit.trace import DetectionTable, ExitTrace, Trace, TraceHeader


def trace_set(
    detector: Detector,
    model: str,
    role: str,
    images: CocoSet,
    store: ImageStore,
    score_threshold: float = 0.3,
    batch_size: int = 16,
    workers: int = 0,
    progress: bool = False,
) -> Trace:
    """Runs every exit on every image and keeps detections, digests and quality.

    Args:
        detector: the detector; its class map must be the set's.
        model: its fingerprint.
        role: what the set is: train, val, calibrate or test.
        images: the set.
        store: where decoded images come from.
        score_threshold: detections from this score on count for `Quality`.
        batch_size: images per batch.
        workers: loading processes.
        progress: show a progress bar on standard error.

    Raises:
        UserError: the set has no image, or other classes than the detector.
    """
    if not len(images):
        raise UserError(f"the {role} role has no image: there is nothing to trace")
    if detector.class_map != images.class_map:
        mine, theirs = ", ".join(detector.class_map.names), ", ".join(images.class_map.names)
        raise UserError(f"the model's classes are not the set's: {mine} against {theirs}")
    parts: dict[str, _Parts] = {name: _Parts() for name in detector.exit_names}
    sampler = EvaluationBatchSampler(len(images), batch_size)
    loader = evaluation_loader(images, store, detector.checkpoint.model.input, sampler, workers)
    for batch in track(
        loader, description="Tracing", total=len(sampler), console=Console(stderr=True), disable=not progress
    ):
        for name, kept, digest in _answers(detector, batch):
            parts[name].add(kept, digest)

    header = TraceHeader(
        model=model,
        data=images.fingerprint,
        role=role,
        classes=detector.class_map.names,
        exit_names=detector.exit_names,
        score_threshold=score_threshold,
        macs={name: cost.macs for name, cost in detector.costs.items()},
    )
    truth = tuple(ImageTruth.from_record(record) for record in images.records)
    return Trace(
        header=header,
        truth=truth,
        difficulties=_difficulties(images),
        exits={name: _exit_trace(of_exit, truth, header) for name, of_exit in parts.items()},
    )


@torch.inference_mode()
def _answers(detector: Detector, batch: Batch) -> list[tuple[str, list[Kept], Digest]]:
    """What each exit says of a batch."""
    checkpoint, grids = detector.checkpoint, detector.network.grids
    outputs = detector.network(detector.fed(batch.images))
    settings = checkpoint.model.input, batch.original_sizes.to(detector.device), checkpoint.decoding
    digests = {name: make_digest(output, grids[name]) for name, output in outputs.items()}
    earlier = {name: digests[before] for name, before in checkpoint.model.averaged_with.items()}
    return [
        (name, decode_kept(output, grids[name], *settings, earlier.get(name)), digests[name])
        for name, output in outputs.items()
    ]


class _Parts:
    """One exit's answers, batch by batch, as arrays."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.rows: list[list[np.ndarray]] = [[], [], [], []]
        self.digests: list[list[np.ndarray]] = [[], [], [], []]

    def add(self, kept: Sequence[Kept], digest: Digest) -> None:
        for detections, logits in kept:
            self.counts.append(len(logits))
            for column, values in zip(self.rows, (*detections, logits), strict=True):
                column.append(_array(values))
        for column, values in zip(self.digests, digest, strict=True):
            column.append(_array(values))

    def table(self) -> DetectionTable:
        offsets = np.cumsum([0, *self.counts], dtype=np.int64)
        return DetectionTable(offsets, *(np.concatenate(column) for column in self.rows))

    def digest(self) -> Digest:
        return Digest(*(torch.from_numpy(np.concatenate(column)) for column in self.digests))


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def _exit_trace(parts: _Parts, truth: Sequence[ImageTruth], header: TraceHeader) -> ExitTrace:
    table = parts.table()
    found = table.by_image_id([image.image_id for image in truth])
    quality = image_quality(match_detections(truth, found, header.classes), header.score_threshold)
    return ExitTrace(table, parts.digest(), quality)


def _difficulties(images: CocoSet) -> tuple[str, ...] | None:
    known = tuple(record.difficulty for record in images.records if record.difficulty is not None)
    return known if len(known) == len(images) else None
