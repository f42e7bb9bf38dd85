"""What a lazy class head saves: logits of all classes at the best cells only, ranked by whether anything is there.

Run it as `python -m tests.benchmarks.bench_lazy_head MODEL data=multi13 data.root=DIR` with a static detector, on
calibrate. At the finest level, where the class head is the dearest, only some cells get logits of every class; at all
others nothing is found. Cells are ranked by the head's own background logit, or by the background's share of the whole
softmax, which is more than an objectness trained for it could know. Printed are AP, MACs with the former ranking (the
latter stands for a trained one of the same cost) and the time of the exported graph at batch 1, in turns with the
detector as it is: ONNX Runtime, one thread, medians.
"""

import argparse
import copy

import torch
from torch import Tensor, nn

from cascade_exit.data import load_role, open_images
from cascade_exit.model import FULL, CascadeDetector, exit_costs
from cascade_exit.model.head import BACKGROUND_LOGIT
from cascade_exit.runtime import Detector, detect_set, load
from tests.benchmarks.photos import data_config, timed_images
from tests.benchmarks.timing import graph_of, in_turns_ms

CELLS = (20, 40, 80, 160)


class LazyClasses(nn.Module):
    """A class head's block that leaves all but some cells to background.

    Args:
        block: depthwise, then pointwise convolution of `Head`, with labels first by anchor.
        labels: classes and background.
        cells: that get logits of every class.
        by_softmax: ranks cells by the background's share of the softmax, not by its logit.
    """

    def __init__(self, block: nn.Sequential, labels: int, cells: int, by_softmax: bool) -> None:
        super().__init__()
        self.depthwise, self.pointwise, self.labels = block[0], block[1], labels
        self.cells, self.by_softmax = cells, by_softmax
        weight, bias = self.pointwise.weight.detach(), self.pointwise.bias.detach()  # type: ignore[operator]
        self.background = nn.Conv2d(weight.shape[1], len(weight) // labels, 1)
        self.background.load_state_dict({"weight": weight[::labels], "bias": bias[::labels]})
        empty = torch.zeros(len(weight))
        empty[::labels] = BACKGROUND_LOGIT
        self.register_buffer("empty", empty)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, anchors * labels, row, column]."""
        x = self.depthwise(x)
        batch, channels, rows, columns = x.shape
        best = self._background(x).flatten(2).amin(1).topk(self.cells, largest=False).indices[:, None]
        at_best = x.flatten(2).gather(2, best.expand(-1, channels, -1))
        logits = self.pointwise(at_best[..., None])[..., 0]
        everywhere = self.empty[None, :, None].expand(batch, -1, rows * columns)  # type: ignore[index]
        return everywhere.scatter(2, best.expand(-1, logits.shape[1], -1), logits).reshape(batch, -1, rows, columns)

    def _background(self, x: Tensor) -> Tensor:
        if not self.by_softmax:
            return self.background(x)
        of_anchors = self.pointwise(x).unflatten(1, (-1, self.labels))
        return of_anchors.log_softmax(2)[:, :, 0]


def with_lazy_classes(network: CascadeDetector, cells: int, by_softmax: bool) -> CascadeDetector:
    """A copy of a static detector whose finest class head is lazy."""
    network = copy.deepcopy(network)
    blocks = network.full.head.classification
    blocks[0] = LazyClasses(blocks[0], network.full.head.labels, cells, by_softmax)  # type: ignore[arg-type]
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("settings", nargs="*", help="of the data, as `evaluate` takes them")
    options = parser.parse_args()
    detector = load(options.model)
    network = detector.network
    assert isinstance(network, CascadeDetector)
    assert network.exit_names == (FULL,), "a static detector is needed"
    config = data_config(options.model, options.settings)
    calibrate = load_role(config, "calibrate", progress=True)
    store = open_images([calibrate], config, progress=True)

    def ap_of(changed: CascadeDetector) -> float:
        checkpoint = detector.checkpoint
        judged = Detector(checkpoint, network=changed, costs=detector.costs)
        return detect_set(judged, calibrate, store, progress=True).compute()[FULL]["AP"]

    macs = exit_costs(network)[FULL].macs
    print(f"as it is: AP {ap_of(network):.4f}, {macs / 1e6:.0f} MMACs")
    images = timed_images(calibrate, store, detector.checkpoint.model.input)
    graphs = {"as it is": graph_of(network, images[0])}
    for cells in CELLS:
        lazy, ideal = (with_lazy_classes(network, cells, by_softmax) for by_softmax in (False, True))
        saved = 1 - exit_costs(lazy)[FULL].macs / macs
        print(
            f"{cells} cells: AP {ap_of(lazy):.4f} by the background logit, {ap_of(ideal):.4f} by the softmax; "
            f"{saved:.1%} of the MACs saved"
        )
        graphs[f"{cells} cells"] = graph_of(lazy, images[0])
    taken = in_turns_ms(graphs, images)
    for name, of_network in taken.items():
        print(f"{name}: {of_network:.2f} ms at batch 1, {taken['as it is'] / of_network:.2f}x")


if __name__ == "__main__":
    main()
