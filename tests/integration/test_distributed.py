"""Two processes with the same global batch do what one does: gradients of one step, and every image scored once."""

import json
import socket

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from cascade_exit.config import TrainConfig
from cascade_exit.config.app import compose
from cascade_exit.data import ImageStore, InputConfig, ResumableBatchSampler, load_role, training_loader
from cascade_exit.runs import Manifest, build
from cascade_exit.training import CascadeModule
from tests.conftest import REPOSITORY, start
from tests.orchestration.fake_slurm import slurm  # noqa: F401

SMALL = ["experiment=debug_rooms", "model.input.size_px=96", "loss=plan", "+loss.distill.weight=0.5"]


class Step(torch.nn.Module):
    """One training step's loss as a forward, so that DDP can wrap it."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        outputs = self.module.detector(batch.images, trunk_gradient={"exit1": 0.3})
        return self.module.criterion(outputs, batch.targets).total


def gradients(config, rank, world):
    torch.manual_seed(0)
    module = CascadeModule(config, config.data.classes)
    # Batch norm sees only its process's half of the batch; with fixed statistics the rest must be equal.
    # In double precision: the images of an untrained network's batch differ in the sixth digit of their confidence, and
    # the gradient of the diversity term is that difference over its own spread.
    module.eval().double()
    images = load_role(config.data, "train")
    sampler = ResumableBatchSampler(len(images), 8, seed=1, rank=rank, world=world)
    loader = training_loader(images, ImageStore(), InputConfig(size_px=96), config.augment, sampler)
    step = Step(module)
    wrapped = DistributedDataParallel(step) if world > 1 else step
    wrapped(next(iter(loader))).backward()
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def child(rank, words, port, path):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = gradients(build(TrainConfig, compose("train", words)), rank, 2)
    if rank == 0:
        torch.save(found, path)
    distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_gradients_of_one_step_are_equal(rooms, tmp_path):
    words = [word for word in SMALL if not word.startswith("+")] + ["loss.distill.weight=0.5", *rooms]
    config = build(TrainConfig, compose("train", words))
    load_role(config.data, "train")  # generated before two processes ask for it
    mp.spawn(child, args=(words, free_port(), tmp_path / "gradients.pt"), nprocs=2)
    together = torch.load(tmp_path / "gradients.pt", weights_only=True)
    alone = gradients(config, 0, 1)
    assert together.keys() == alone.keys()
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
def test_two_processes_train_and_score_every_image_once(rooms, tmp_path):
    words = ["experiment=debug_rooms", "trainer.progress=false", "model.input.size_px=96", *rooms]
    process = start(
        "train", *words, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=3", f"run_dir={tmp_path}"
    )
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["images"] == 8
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    # The best epoch's figures, gathered from both processes, equal one process's pass over the same weights.
    best = max(rows, key=lambda row: row["val/mean_AP"])
    for name, figures in metrics["exits"].items():
        assert figures["AP"] == pytest.approx(best[f"val/{name}/AP"], abs=1e-4)


@pytest.mark.slow
def test_two_nodes_of_a_cluster_train_as_two_processes_of_one_machine(rooms, tmp_path, slurm):  # noqa: F811
    """Each node runs its part as a process that Slurm has started; they meet as on a real cluster, through gloo."""
    words = ["experiment=debug_rooms", "trainer.progress=false", "model.input.size_px=96", *rooms, "trainer=ddp"]
    words += ["trainer.accelerator=cpu", "trainer.max_epochs=3", "callbacks.pictures=0"]
    process = start("train", *words, f"run_dir={tmp_path}/machine")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    launcher = [f"hydra.sweep.dir={tmp_path}/sweeps", "hydra.launcher.executor=slurm", "hydra.launcher.slurm.gpus=0"]
    nodes = ["trainer.devices=1", "trainer.num_nodes=2", f"run_dir={tmp_path}/nodes"]
    sweep = start("train", "-m", *words, *nodes, *launcher, PYTHONPATH=str(REPOSITORY))
    _, err = sweep.communicate(timeout=600)
    assert sweep.returncode == 0, err
    assert "#SBATCH --nodes=2" in slurm.scripts[0]
    assert len(list(tmp_path.glob("sweeps/*/logs/*-node1.log"))) == 1
    found, expected = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("nodes", "machine"))
    assert found["exits"] == expected["exits"]
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("nodes", "machine")]
    assert rows[0] == rows[1]
    assert Manifest.read(tmp_path / "nodes").tries == 1
