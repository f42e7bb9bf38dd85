"""What each of two processes does in the test of scoring on several processes."""

import pickle
from pathlib import Path

import torch
import torch.distributed as dist

from cascade_exit.evaluation import ExitAP, ImageTruth

from .stand_ins import Detections

Rows = dict[str, dict[int, Detections]]


def feed(metric: ExitAP, image_ids: list[int], rows: Rows) -> None:
    for start in range(0, len(image_ids), 2):
        batch = image_ids[start : start + 2]
        metric.update(torch.tensor(batch), {name: [found[i] for i in batch] for name, found in rows.items()})


def score_shares(
    rank: int, folder: str, truth: list[ImageTruth], names: list[str], rows: Rows, plans: list[list[list[int]]]
) -> None:
    """Scores each plan (image ids of rank 0, image ids of rank 1) with the same metric, reset in between."""
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    metric = ExitAP(truth, names, list(rows))
    results = []
    for plan in plans:
        feed(metric, plan[rank], rows)
        results.append(metric.compute())
        metric.reset()
    Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(results))
    dist.destroy_process_group()
