"""One process of a tiny DDP training step; started by test_distributed.py.

Usage: python ddp_worker.py RANK PROCESSES STORE_FILE RESULT_FILE
"""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cascade_exit.data.batch import Targets, pad_targets
from cascade_exit.losses import CascadeCriterion, DistillConfig, LossConfig
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.output import ExitOutput

NAMES = ("exit1", "exit2", "full")
ANCHORS = AnchorGrid(64).boxes
LABELS, FEATURES = 3, 8
# Objects per image, and how many of the images the first process gets: the processes' shares are uneven on purpose.
SCENARIOS = {"mixed": ([3, 1, 0, 2, 5], 2), "one_empty": ([4, 2, 0, 0], 2), "all_empty": ([0, 0], 1)}


class TinyCascade(nn.Module):
    """Answers of all exits from one linear layer, so that every parameter is in every graph."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        values = len(NAMES) * len(ANCHORS) * (LABELS + 4)
        self.weight = nn.Parameter(torch.randn(FEATURES, values, generator=generator))

    def forward(self, features: Tensor) -> Tensor:
        return (features @ self.weight).view(len(features), len(NAMES), len(ANCHORS), LABELS + 4)


def batch(counts: list[int], images: slice) -> tuple[Tensor, Targets]:
    """The chosen images of a batch that is the same in every process."""
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(len(counts), FEATURES, generator=generator)
    corner = [torch.rand(count, 2, generator=generator) * 40 for count in counts]
    boxes = [torch.cat([c, c + 5 + torch.rand(c.shape, generator=generator) * 30], dim=1) for c in corner]
    labels = [torch.randint(1, LABELS, (count,), generator=generator) for count in counts]
    crowd = [torch.zeros(count, dtype=torch.bool) for count in counts]
    return features[images], pad_targets(boxes[images], labels[images], crowd[images])


def answers(raw: Tensor) -> dict[str, ExitOutput]:
    """What each exit says, cut out of the network's one output."""
    return {name: ExitOutput(raw[:, i, :, :LABELS], raw[:, i, :, LABELS:]) for i, name in enumerate(NAMES)}


def criterion() -> CascadeCriterion:
    distill = DistillConfig(weight=0.5, temperature=2.0, anchor_weighting="confidence")
    config = LossConfig(negatives_per_empty_image=5, distill=distill)
    return CascadeCriterion(config, dict.fromkeys(NAMES, ANCHORS), NAMES)


def gradients(model: nn.Module, features: Tensor, targets: Targets) -> dict[str, Tensor]:
    """The gradient and the value of every term, and of the total."""
    found: dict[str, Tensor] = {}
    apply, names = criterion(), ["total"]
    while names:
        name = names.pop()
        model.zero_grad()
        total, terms = apply(answers(model(features)), targets)
        if name == "total":
            names += sorted(terms)
        value = total if name == "total" else terms[name]
        value.backward()
        found[f"{name} value"] = value.detach()
        found[f"{name} gradient"] = next(model.parameters()).grad.clone()
    return found


def work(rank: int, processes: int, store: str) -> dict[str, Tensor]:
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=processes, timeout=timedelta(seconds=100)
    )
    model = DistributedDataParallel(TinyCascade())
    found = {}
    for scenario, (counts, first) in SCENARIOS.items():
        features, targets = batch(counts, slice(0, first) if rank == 0 else slice(first, None))
        if rank == 0:
            # As in validation, where a process may have a batch more than the other: it must not wait for it.
            with torch.no_grad():
                found[f"{scenario} alone"] = criterion()(answers(model.module(features)), targets).total
        found |= {f"{scenario} {name}": value for name, value in gradients(model, features, targets).items()}
    dist.destroy_process_group()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save(work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]), sys.argv[4])
