"""Running the cascade stage by stage, with some images, for some exits."""

import pytest
import torch

from cascade_exit.model import CascadeDetector, ExitConfig, ExitOutput, FullConfig

from .networks import TWO_EXITS, VARIANTS, close, detector, photos, variant


@pytest.mark.parametrize("name", VARIANTS)
def test_going_on_with_some_images_equals_the_whole_batch(name):
    model, images = variant(name), photos(5)
    whole = model(images)
    left = torch.arange(5)
    state = model.start(images)
    for exit_name in model.exit_names:
        state = model.advance(exit_name, state)
        output, state = model.answer(exit_name, state)
        close(output, ExitOutput(*(part[left] for part in whole[exit_name])))
        # Some leave here.
        stay = torch.ones(len(left), dtype=torch.bool)
        stay[::3] = False
        left, state = left[stay], {key: value[stay] for key, value in state.items()}
    assert len(left) < 5


@pytest.mark.parametrize("name", VARIANTS)
def test_asking_for_some_exits_gives_the_same_answers(name):
    model, images = variant(name), photos()
    whole = model(images)
    for exit_name in model.exit_names:
        alone = model(images, exits=(exit_name,))
        assert list(alone) == [exit_name]
        close(alone[exit_name], whole[exit_name])
    ends = (model.exit_names[0], "full")
    some = model(images, exits=ends)
    assert list(some) == list(dict.fromkeys(ends))
    for exit_name, output in some.items():
        close(output, whole[exit_name])


def calls_of(model: CascadeDetector, exits: tuple[str, ...]) -> dict[str, int]:
    calls = {f"features.{i}": block for i, block in enumerate(model.trunk.features)}
    calls.update({**dict(model.exits.items()), "full": model.full})
    counts = dict.fromkeys(calls, 0)
    handles = []
    for key, module in calls.items():

        def count(*_: object, key: str = key) -> None:
            counts[key] += 1

        handles.append(module.register_forward_hook(count))
    model(photos(1), exits=exits)
    for handle in handles:
        handle.remove()
    return counts


def test_the_full_exit_alone_runs_no_branch():
    counts = calls_of(variant("plain"), ("full",))
    assert counts["exit1"] == counts["exit2"] == 0
    assert counts["full"] == 1
    # Block 13 is run in two pieces, so its own forward is not called.
    assert [counts[f"features.{i}"] for i in range(17)] == [1] * 13 + [0] + [1] * 3


def test_an_early_exit_alone_runs_nothing_deeper():
    counts = calls_of(variant("plain"), ("exit1",))
    assert (counts["exit1"], counts["exit2"], counts["full"]) == (1, 0, 0)
    assert [counts[f"features.{i}"] for i in range(17)] == [1] * 9 + [0] * 8


def test_an_exit_that_builds_on_another_runs_it_too():
    exits = {"exit1": TWO_EXITS["exit1"], "exit2": TWO_EXITS["exit2"], "exit3": ExitConfig(15, channels=16)}
    counts = calls_of(detector(exits, FullConfig(context="features")), ("full",))
    assert [counts[name] for name in ("exit1", "exit2", "exit3", "full")] == [0, 0, 1, 1]
    exits["exit3"] = ExitConfig(15, channels=16, refinement="residual")
    counts = calls_of(detector(exits, FullConfig(context="features")), ("full",))
    assert [counts[name] for name in ("exit1", "exit2", "exit3", "full")] == [0, 1, 1, 1]
    counts = calls_of(detector(exits), ("full",))
    assert [counts[name] for name in ("exit1", "exit2", "exit3", "full")] == [0, 0, 0, 1]
