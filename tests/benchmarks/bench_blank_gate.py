"""How well a small network tells images that hold nothing from the others, and what it costs: a blank gate.

Run it as `python -m tests.benchmarks.bench_blank_gate STATIC LOOK data=multi13 data.root=DIR` with a static detector,
whose trunk is the gate's, and a cascade whose first exit is the gate's rival: its highest score asks the same.
A gate is a logistic regression on mean and maximum of one of the trunk's maps at a small image, fitted to train. Its
threshold turns away so many of calibrate's images with objects; what that does is counted on test. Times are those of
the exported graphs at batch 1, in turns with the static detector: ONNX Runtime, one thread, medians.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cascade_exit.data import (
    CocoSet,
    EvaluationBatchSampler,
    ImageStore,
    InputConfig,
    evaluation_loader,
    load_roles,
    open_images,
    shrink_images,
)
from cascade_exit.model import CascadeDetector, decode_exits
from cascade_exit.model.costs import FLOPS_PER_MAC
from cascade_exit.policies.distributions import auroc
from cascade_exit.policies.fitting import standardised
from cascade_exit.policies.logistic import maximum_likelihood
from cascade_exit.runtime import Detector, load
from tests.benchmarks.photos import data_config, timed_images
from tests.benchmarks.timing import graph_of, in_turns_ms

SIZES_PX, TURNED_AWAY = (96, 160), 0.03
BATCH = 32
# Prior precision of the gate's weights, of which there are a thousand: with 1 the deepest gate's AUROC is 0.02 lower.
PRECISION = 10.0


class Gate(nn.Module):
    """Odds, as a logarithm, that an image holds an object.

    Args:
        network: its trunk is the gate's.
        size_px: side of the square image that the gate sees.
        stop: how many of the trunk's features it runs.
    """

    def __init__(self, network: CascadeDetector, size_px: int, stop: int) -> None:
        super().__init__()
        self.network, self.size_px, self.stop = network, size_px, stop
        self.odds = nn.Linear(2 * network.trunk.channels(stop - 1), 1)

    def pooled(self, images: Tensor) -> Tensor:
        """Mean and maximum of the map [batch, 2 * channels] of images [batch, 3, size_px, size_px]."""
        seen, _ = self.network.trunk.run(self.network.normalise(images), 0, self.stop)
        return torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.odds(self.pooled(images))[:, 0]

    def fit(self, pooled: Tensor, holds: np.ndarray) -> None:
        """Fits the odds to what `pooled` gave."""
        features, means, scales = standardised(pooled.double(), np.ones(len(pooled), dtype=bool))
        bias, *weights = maximum_likelihood(features, holds.astype(np.float64), PRECISION)
        weight = np.array(weights) / scales
        state = {"weight": weight[None], "bias": np.array([bias - weight @ means])}
        self.odds.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})


@torch.no_grad()
def seen_by(
    see: Callable[[Tensor, Tensor], dict[str, Tensor]], images: CocoSet, store: ImageStore, config: InputConfig
) -> dict[str, Tensor]:
    """What is made of each batch of a set (images and their original sizes), joined."""
    sampler = EvaluationBatchSampler(len(images), BATCH)
    found: dict[str, list[Tensor]] = {}
    loader = evaluation_loader(images, store, config, sampler, 0)
    for batch in track(loader, description="Looking", total=len(sampler), console=Console(stderr=True)):
        for name, values in see(batch.images, batch.original_sizes).items():
            found.setdefault(name, []).append(values)
    return {name: torch.cat(parts) for name, parts in found.items()}


def top_scores(rival: Detector, images: Tensor, sizes: Tensor) -> Tensor:
    """The highest score that a cascade's first exit gives in each image; 0 where it finds nothing."""
    first = rival.exit_names[0]
    outputs = rival.network(rival.fed(images), exits=(first,))  # type: ignore[call-arg]
    checkpoint = rival.checkpoint
    found = decode_exits(outputs, rival.network.grids, checkpoint.model, sizes, checkpoint.decoding)[first]
    return torch.tensor([float(of_image.scores.max()) if len(of_image.scores) else 0.0 for of_image in found])


def shrinking(gate: Gate, image: Tensor) -> Callable[[Tensor], object]:
    """A gate's graph, shrinking included."""
    run = graph_of(gate, shrink_images(image, gate.size_px))
    return lambda images: run(shrink_images(images, gate.size_px))


def mmacs(network: nn.Module, image: Tensor) -> float:
    """Multiply-accumulates of one image, in millions."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(image)
    return counter.get_total_flops() / FLOPS_PER_MAC / 1e6


def report(name: str, values: dict[str, Tensor], holds: dict[str, np.ndarray]) -> None:
    """Prints how well values tell images with objects from those without."""
    calibrate, test = values["calibrate"].double().numpy(), values["test"].double().numpy()
    threshold = np.quantile(calibrate[holds["calibrate"]], TURNED_AWAY)
    away = test < threshold
    areas = [auroc(each, holds[role]) for role, each in (("calibrate", calibrate), ("test", test))]
    print(
        f"{name}: AUROC {areas[0]:.3f} on calibrate, {areas[1]:.3f} on test; set to turn away {TURNED_AWAY:.0%} of the "
        f"images with objects, on test it turns away {away[holds['test']].mean():.1%} of them and "
        f"{away[~holds['test']].mean():.1%} of the empty ones"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("static")
    parser.add_argument("look")
    parser.add_argument("settings", nargs="*", help="of the data, as `evaluate` takes them")
    options = parser.parse_args()
    static, rival = load(options.static), load(options.look)
    network = static.network
    assert isinstance(network, CascadeDetector)
    config = data_config(options.static, options.settings)
    sets = load_roles(config, ("train", "calibrate", "test"), progress=True)
    store = open_images(sets.values(), config, progress=True)
    places = (network.trunk.strides_px.index(16), len(network.trunk) - 1)
    gates = {
        f"features[{place}] at {px} px": Gate(network, px, place + 1).eval() for px in SIZES_PX for place in places
    }

    def pooled(images: Tensor, _: Tensor) -> dict[str, Tensor]:
        return {name: gate.pooled(shrink_images(images, gate.size_px)) for name, gate in gates.items()}

    of_role = {role: seen_by(pooled, images, store, static.checkpoint.model.input) for role, images in sets.items()}
    holds = {
        str(role): np.array([not record.crowd.all() for record in images.records]) for role, images in sets.items()
    }
    for name, gate in gates.items():
        gate.fit(of_role["train"][name], holds["train"])
        cost = mmacs(gate, torch.zeros(1, 3, gate.size_px, gate.size_px, dtype=torch.uint8))
        with torch.no_grad():
            report(
                f"{name}, {cost:.0f} MMACs",
                {role: gate.odds(of_role[role][name])[:, 0] for role in ("calibrate", "test")},
                holds,
            )
    scores = {
        role: seen_by(
            lambda images, sizes: {"score": top_scores(rival, images, sizes)},
            sets[role],
            store,
            rival.checkpoint.model.input,
        )["score"]
        for role in ("calibrate", "test")
    }
    report(f"highest score of {options.look}'s first exit", scores, holds)
    images = timed_images(sets["calibrate"], store, static.checkpoint.model.input)
    graphs = {"static": graph_of(network, images[0])} | {
        name: shrinking(gate, images[0]) for name, gate in gates.items()
    }
    for name, taken_ms in in_turns_ms(graphs, images).items():
        print(f"{name}: {taken_ms:.2f} ms at batch 1")


if __name__ == "__main__":
    main()
