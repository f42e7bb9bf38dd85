import pytest
import torch

from cascade_exit.model import CascadeDetector
from cascade_exit.model.class_rows import CLASS_LAYER, rows_by_class

from .networks import detector, photos, stir

HOME = ("person", "chair", "cat")


def network(classes: int, seed: int) -> CascadeDetector:
    torch.manual_seed(seed)
    made = CascadeDetector(detector().config, classes)
    stir(made)
    return made.eval()


def started(source: CascadeDetector, classes: tuple[str, ...], target: CascadeDetector, own: tuple[str, ...]):
    """The target with the source's weights, rows moved by name."""
    target.load_state_dict(rows_by_class(source.state_dict(), classes, target.state_dict(), own))
    return target


@torch.no_grad()
def logits(model: CascadeDetector) -> dict[str, torch.Tensor]:
    return {name: output.class_logits for name, output in model(photos()).items()}


@pytest.mark.parametrize("own", [("chair",), ("cat", "chair"), ("cat", "person", "chair")])
def test_classes_of_the_same_name_keep_their_logits(own: tuple[str, ...]) -> None:
    source = network(3, seed=1)
    before, after = logits(source), logits(started(source, HOME, network(len(own), seed=2), own))
    rows = [0, *(HOME.index(name) + 1 for name in own)]
    assert len(before) == 3
    for name, found in after.items():
        # Equal but for the order of sums in a convolution of fewer channels.
        torch.testing.assert_close(found, before[name][..., rows], atol=1e-5, rtol=1e-5)


def test_moved_rows_are_the_same_bits() -> None:
    source = network(3, seed=1).state_dict()
    moved = rows_by_class(source, HOME, network(1, seed=2).state_dict(), ("chair",))
    layers = [name for name in moved if CLASS_LAYER.fullmatch(name)]
    assert len(layers) == 3 * 6 * 2  # exits, levels, weight and bias
    for name in layers:
        given = source[name].unflatten(0, (6, 4))
        assert torch.equal(moved[name].unflatten(0, (6, 2)), given[:, [0, 2]])
    assert all(moved[name] is value for name, value in source.items() if name not in layers)


def test_new_classes_stand_to_background_as_in_the_model() -> None:
    source, target = network(1, seed=1), network(3, seed=2)
    fresh = {name: value.clone() for name, value in target.state_dict().items()}
    before = logits(source)
    after = logits(started(source, ("chair",), target, HOME))
    for name, found in after.items():
        torch.testing.assert_close(found[..., [0, 2]], before[name], atol=1e-5, rtol=1e-5)
    # The source's network with the fresh class layers: how a class stands to background there.
    mixed = network(3, seed=3)
    taken = {name: value for name, value in source.state_dict().items() if not CLASS_LAYER.fullmatch(name)}
    mixed.load_state_dict(taken | {name: value for name, value in fresh.items() if CLASS_LAYER.fullmatch(name)})
    for name, own in logits(mixed).items():
        for row in (1, 3):
            difference = after[name][..., row] - after[name][..., 0]
            torch.testing.assert_close(difference, own[..., row] - own[..., 0], atol=1e-4, rtol=1e-4)


def test_layers_of_another_shape_and_other_weights_stay() -> None:
    target = network(1, seed=2).state_dict()
    name = next(filter(CLASS_LAYER.fullmatch, target))
    odd = {name: torch.zeros(7, 5, 1, 1), "trunk.features.0.0.weight": torch.ones(2)}
    moved = rows_by_class(odd, HOME, target, ("chair",))
    assert all(moved[key] is value for key, value in odd.items())
    narrow = {name: torch.zeros(24, 5, 1, 1)}
    assert rows_by_class(narrow, HOME, target, ("chair",))[name] is narrow[name]


def test_sixteen_bit_rows_are_widened() -> None:
    source = {
        name: value.half() for name, value in network(3, seed=1).state_dict().items() if value.is_floating_point()
    }
    target = network(1, seed=2).state_dict()
    moved = rows_by_class(source, HOME, target, ("chair",))
    for name in filter(CLASS_LAYER.fullmatch, target):
        assert moved[name].dtype == torch.float32
        assert torch.equal(moved[name].unflatten(0, (6, 2))[:, 1], source[name].unflatten(0, (6, 4))[:, 2].float())
