"""One pass of a detector over a whole set."""

import torch
from rich.console import Console
from rich.progress import track

from cascade_exit.data import CocoSet, EvaluationBatchSampler, ImageStore, evaluation_loader
from cascade_exit.evaluation import ExitAP, ImageTruth
from cascade_exit.model import decode_exits
from cascade_exit.runtime.detector import Detector


@torch.inference_mode()
def detect_set(
    detector: Detector,
    images: CocoSet,
    store: ImageStore,
    batch_size: int = 16,
    workers: int = 0,
    progress: bool = False,
) -> ExitAP:
    """Runs every exit on every image.

    Args:
        detector: the detector; its class map must be the set's.
        images: the set.
        store: where decoded images come from.
        batch_size: images per batch.
        workers: loading processes.
        progress: show a progress bar on standard error.

    Returns:
        The metric that saw all images: `compute()` gives every exit's measures.
    """
    checkpoint = detector.checkpoint
    truth = [ImageTruth.from_record(record) for record in images.records]
    # Alone, also in a process of a distributed run whose others have gone.
    metric = ExitAP(truth, images.class_map.names, detector.exit_names, sync_on_compute=False)
    sampler = EvaluationBatchSampler(len(images), batch_size)
    loader = evaluation_loader(images, store, checkpoint.model.input, sampler, workers)
    for batch in track(
        loader, description="Detecting", total=len(sampler), console=Console(stderr=True), disable=not progress
    ):
        outputs = detector.network(detector.fed(batch.images))
        sizes = batch.original_sizes.to(detector.device)
        found = decode_exits(outputs, detector.network.grids, checkpoint.model, sizes, checkpoint.decoding)
        metric.update(batch.image_ids, found)
    return metric
