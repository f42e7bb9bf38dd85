import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cascade_exit.losses.distributed import process_count, share_of_total

from . import ddp_worker
from .ddp_worker import NAMES, SCENARIOS, TinyCascade, answers, batch, criterion, gradients


@pytest.fixture(scope="module")
def found_by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two DDP processes found."""
    folder: Path = tmp_path_factory.mktemp("ddp")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    results = [folder / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, ddp_worker.__file__, str(rank), "2", folder / "store", result], env=environment
        )
        for rank, result in enumerate(results)
    ]
    try:
        assert [process.wait(timeout=200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [torch.load(result, weights_only=True) for result in results]


TERMS = ["total", "diversity", "cascade", "distill"]
TERMS += [f"{name}/{part}" for name in NAMES for part in ("classification", "localization")]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_processes_learn_what_one_with_the_whole_batch_learns(
    scenario: str, found_by_two: list[dict[str, Tensor]]
) -> None:
    truth = gradients(TinyCascade(), *batch(SCENARIOS[scenario][0], slice(None)))
    assert {name.split()[0] for name in truth} == set(TERMS)
    for term in TERMS:
        expected = truth[f"{term} gradient"]
        for found in found_by_two:
            torch.testing.assert_close(found[f"{scenario} {term} gradient"], expected, atol=1e-5, rtol=1e-5)
        mean = (found_by_two[0][f"{scenario} {term} value"] + found_by_two[1][f"{scenario} {term} value"]) / 2
        torch.testing.assert_close(mean, truth[f"{term} value"], atol=1e-5, rtol=1e-5)
    assert truth["total gradient"].abs().max() > 1e-3


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_without_gradients_a_process_speaks_for_its_own_batch(
    scenario: str, found_by_two: list[dict[str, Tensor]]
) -> None:
    counts, first = SCENARIOS[scenario]
    features, targets = batch(counts, slice(0, first))
    with torch.no_grad():
        alone = criterion()(answers(TinyCascade()(features)), targets).total
    torch.testing.assert_close(found_by_two[0][f"{scenario} alone"], alone)


def test_one_process_divides_by_its_own_amount() -> None:
    assert process_count() == 1
    assert float(share_of_total(torch.tensor(6.0), at_least=1.0)) == 6
    assert float(share_of_total(torch.tensor(0.0), at_least=1.0)) == 1
