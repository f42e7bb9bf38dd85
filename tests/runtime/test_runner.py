"""The runner against what a trace of all exits promises, and proof that later stages do not run."""

import warnings
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from cascade_exit.data import ClassMap
from cascade_exit.model import Detections, Digest
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.drift import DriftMonitor
from cascade_exit.policies.policy import Policy
from cascade_exit.policies.rules import LogisticRule, ThresholdRule
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runs import UserError
from cascade_exit.runtime import runner as runner_module
from cascade_exit.runtime.detector import Detector
from cascade_exit.runtime.runner import DriftWarning, Runner, Stopped
from cascade_exit.trace import Trace
from tests.model.networks import SIZE_PX
from tests.runtime.cascades import IMAGES, checkpoint, detector, pictures, policy, trace

NEAR = 1e-4
BOX_PX, SCORE = 0.01, 1e-5
RULES = {
    "plain": {"exit1": ("mid_scores", 0.4), "exit2": ("top_mean", 0.5)},
    "chained": {"exit1": ("mid_scores", 0.4), "exit2": ("agreement", 0.5)},
    "three": {"exit1": ("top_mean", 0.3), "exit2": ("certainty", 0.4), "exit3": ("agreement", 0.5)},
    "early": {"exit1": ("max_score", 0.5), "exit2": ("certainty", 0.3)},
    "looks": {"exit1": ("mid_scores", 0.4), "exit2": ("agreement", 0.5)},
    "averaged": {"exit1": ("mid_scores", 0.4), "exit2": ("agreement", 0.5)},
}
EVERYTHING, NOTHING = ThresholdRule("max_score", -1.0), ThresholdRule("max_score", 2.0)


def values(of: Trace, exit_name: str, statistic: str) -> np.ndarray:
    """A statistic of every picture at an exit."""
    place = of.header.exit_names.index(exit_name)
    previous = of.exits[of.header.exit_names[place - 1]].digest if place else None
    return STATISTICS[statistic](of.exits[exit_name].digest, previous).double().numpy()


def some_stop(name: str, *exits: str) -> dict[str, ThresholdRule]:
    """Rules that stop about a share of the pictures that arrive; each threshold lies in the widest gap nearby."""
    rules, arrived = {}, np.ones(IMAGES, bool)
    for exit_name in exits or RULES[name]:
        statistic, share = RULES[name][exit_name]
        of_image = values(trace(name), exit_name, statistic)
        ranked = np.sort(of_image[arrived])[::-1]
        first = round(share * len(ranked))
        place = max(range(first - 2, first + 3), key=lambda one: ranked[one - 1] - ranked[one])
        rules[exit_name] = ThresholdRule(statistic, float(ranked[place - 1 : place + 1].mean()))
        arrived &= of_image < rules[exit_name].threshold
    return rules


def run(one: Runner, batch_size: int = IMAGES, images: torch.Tensor | None = None) -> list[Stopped]:
    images = pictures() if images is None else images
    return [stopped for batch in images.split(batch_size) for stopped in one.detect_batch(batch)]


def undecided(of: Trace, rules: dict[str, ThresholdRule]) -> np.ndarray:
    """Pictures with a statistic within NEAR of its threshold."""
    near = [np.abs(values(of, where, rule.statistic) - rule.threshold) < NEAR for where, rule in rules.items()]
    return np.logical_or.reduce(near)


def assert_same(found: Detections, promised: tuple[np.ndarray, ...]) -> None:
    """Equal up to the order of scores that are equal, and to what the limit of detections cuts off among those."""
    boxes, scores, labels = (part.numpy() for part in found)
    assert len(scores) == len(promised[1])
    assert (np.diff(scores) <= 0).all()
    left = set(range(len(scores)))
    for box, score, label in zip(*promised, strict=True):
        twin = next(
            (
                other
                for other in sorted(left)
                if labels[other] == label
                and abs(scores[other] - score) < SCORE
                and np.abs(boxes[other] - box).max() < BOX_PX
            ),
            None,
        )
        assert twin is not None or score < promised[1].min() + SCORE, f"{label} {score} {box} was not found"
        left.discard(twin)


def promise(of: Trace, exit_name: str, image: int) -> tuple[np.ndarray, ...]:
    found = of.exits[exit_name].detections.of_image(image)
    return found.boxes, found.scores, found.labels


SCENES = {
    "mixed": ("plain", some_stop("plain")),
    "context and residual": ("chained", some_stop("chained")),
    "four exits": ("three", some_stop("three")),
    "early exits": ("early", some_stop("early")),
    "exit1 passed by": ("plain", some_stop("plain", "exit2")),
    "exit1 only compared with": ("chained", some_stop("chained", "exit2")),
    "exit2 passed by": ("three", some_stop("three", "exit1", "exit3")),
    "all at exit1": ("plain", {"exit1": EVERYTHING, "exit2": EVERYTHING}),
    "none": ("chained", {"exit1": NOTHING, "exit2": NOTHING}),
    "no rule": ("three", {}),
    "a look": ("looks", some_stop("looks")),
    "averaged scores": ("averaged", some_stop("averaged")),
    "averaged with an exit without a rule": ("averaged", some_stop("averaged", "exit1")),
    "a look passed by": ("looks", {"exit2": some_stop("looks")["exit1"]}),
}


def images_seen(one: Detector, work) -> dict[str, int]:
    """How many images went through each convolution, by name, while `work` ran."""
    seen: Counter[str] = Counter()

    def counter(name: str):
        def count(_module, inputs, _output) -> None:
            seen[name] += max(len(inputs[0]), 1)  # a call for no image is one too many

        return count

    convolutions = {name: m for name, m in one.network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    handles = [module.register_forward_hook(counter(name)) for name, module in convolutions.items()]
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return {name: seen[name] for name in convolutions}


def stage_of(one: Detector, convolution: str) -> tuple[str, bool]:
    """The exit whose stage or answer a convolution belongs to, and whether it is of the answer."""
    parts = convolution.split(".")
    if parts[0] == "looks":  # all of it is run for its answer
        return parts[1], True
    if parts[0] != "trunk":
        return (parts[1], True) if parts[0] == "exits" else ("full", True)
    block = int(parts[2])
    return next((e for e, c in one.network.config.exits.items() if block <= c.after), "full"), False


# Exits that answer, where not all do.
ANSWERING = {
    "exit1 passed by": {"exit2", "full"},
    "a look passed by": {"exit2", "full"},
    "no rule": {"exit1", "exit2", "exit3", "full"},  # full builds on exit3, which builds on exit2, …
}
# In single images, where later stages have something to leave out; the whole set at once, where all kinds leave.
RUNS = [(scene, 8) for scene in SCENES] + [(scene, size) for scene in ("mixed", "four exits") for size in (1, 32)]


@pytest.mark.parametrize(("scene", "batch_size"), RUNS)
def test_images_stop_where_the_trace_promised_and_nothing_runs_on(scene, batch_size):
    name, rules = SCENES[scene]
    one, a_policy, found = detector(name), policy(rules), []
    seen = images_seen(one, lambda: found.extend(run(Runner(one, a_policy), batch_size)))

    choice = a_policy.choose(trace(name))
    assert [stopped.exit_index for stopped in found] == choice.tolist()
    for image, stopped in enumerate(found):
        assert stopped.exit_name == one.exit_names[stopped.exit_index]
        assert stopped.digest is None
        assert_same(stopped.detections, promise(trace(name), stopped.exit_name, image))

    arrived = {exit_name: int((choice >= index).sum()) for index, exit_name in enumerate(one.exit_names)}
    if scene not in ("all at exit1", "none"):
        assert all(arrived["full"] >= 3 and (choice == one.exit_names.index(where)).sum() >= 3 for where in rules)
    answering = ANSWERING.get(scene, set(one.exit_names))
    for convolution, images in seen.items():
        stage, of_answer = stage_of(one, convolution)
        assert images == (0 if of_answer and stage not in answering else arrived[stage]), convolution


@pytest.mark.parametrize("batch_size", [1, 8, 32])
def test_in_32_bit_only_images_on_a_threshold_may_stop_elsewhere(batch_size):
    a_policy, promised = policy(some_stop("plain")), trace("plain", precise=False)
    either = undecided(promised, a_policy.rules)
    assert either.sum() <= 1
    found = run(Runner(detector("plain", precise=False), a_policy), batch_size)
    for image, (stopped, index) in enumerate(zip(found, a_policy.choose(promised), strict=True)):
        assert stopped.exit_index == index or either[image]
        assert_same(stopped.detections, promise(promised, stopped.exit_name, image))


def test_an_exit_without_a_rule_costs_nothing():
    seen = images_seen(detector("plain"), lambda: run(Runner(detector("plain"), policy({}))))
    assert sum(images for name, images in seen.items() if name.startswith("exits")) == 0
    assert seen["trunk.features.0.0"] == IMAGES


def test_boxes_are_decoded_at_the_exit_taken_only(monkeypatch):
    decoded, decode_kept = [], runner_module.decode_kept

    def count(output, *settings):
        decoded.append(len(output.class_logits))
        return decode_kept(output, *settings)

    monkeypatch.setattr(runner_module, "decode_kept", count)
    found = run(Runner(detector("plain"), policy(some_stop("plain"))))
    exits = Counter(stopped.exit_index for stopped in found)
    assert decoded == [exits[0], exits[1], exits[2]]


def test_digests_are_those_of_the_exits_taken():
    one = Runner(detector("three"), policy(some_stop("three")))
    for image, stopped in enumerate(one.detect_batch(pictures(), digest=True)):
        expected = trace("three").exits[stopped.exit_name].digest.of(slice(image, image + 1))
        assert isinstance(stopped.digest, Digest)
        for found, wanted in zip(stopped.digest, expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


MAP = ((0.0, 0.0), (0.2, 0.5), (0.6, 0.55), (1.0, 0.7))


def test_scores_are_calibrated_and_decisions_too():
    calibration = {"exit1": ExitCalibration(2.0), "exit2": ExitCalibration(0.5, MAP), "full": ExitCalibration(1.0, MAP)}
    tempered = STATISTICS["top_mean"](calibration["exit1"].digest(trace().exits["exit1"].digest), None).numpy()
    median = float(np.median(tempered))
    confidence = np.sort(values(trace(), "exit2", "mean_confidence")[tempered < median])
    rules = {
        "exit1": ThresholdRule("top_mean", median),
        "exit2": ThresholdRule("mean_confidence", float(confidence[7:9].mean())),
    }
    a_policy = policy(rules, calibration=calibration)
    choice = a_policy.choose(trace())
    assert (choice != policy(rules).choose(trace())).any()
    found = run(Runner(detector(), a_policy), 8)
    assert [stopped.exit_index for stopped in found] == choice.tolist()
    assert set(choice) == {0, 1, 2}
    for image, stopped in enumerate(found):
        table, one = trace().exits[stopped.exit_name].detections, calibration[stopped.exit_name]
        rows = slice(table.offsets[image], table.offsets[image + 1])
        odds = np.exp(table.logits[rows].astype(np.float64) / one.temperature)
        scores = (odds / odds.sum(1, keepdims=True))[np.arange(len(odds)), table.labels[rows]]
        if one.score_map:
            scores = np.interp(scores, *zip(*one.score_map, strict=True))
        order = np.argsort(-scores, kind="stable")
        assert_same(
            stopped.detections, (table.boxes[rows][order], scores[order].astype(np.float32), table.labels[rows][order])
        )


def test_photos_and_batches_of_one_size_agree(tmp_path):
    one = Runner(detector("plain"), policy(some_stop("plain")))
    pixels = np.asarray(Image.fromarray(pictures()[3].permute(1, 2, 0).numpy()).resize((150, 120)))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    stopped = one.detect(pixels)
    everywhere = detector("plain").every_exit(pixels)
    assert stopped.digest is None
    for wanted in (
        one.detect(tmp_path / "photo.png").detections,
        one(Image.fromarray(pixels)),
        everywhere[stopped.exit_name],
    ):
        assert all(torch.equal(a, b) for a, b in zip(stopped.detections, wanted, strict=True))
    assert stopped.detections.boxes[:, 0::2].max() > SIZE_PX
    assert one.detect(pixels, digest=True).digest.boxes.shape[0] == 1


def test_original_sizes_go_with_their_images():
    one = Runner(detector("plain"), policy(some_stop("plain")))
    factors = torch.arange(1, 9)
    sizes = torch.stack([factors * SIZE_PX, factors * SIZE_PX * 2], dim=1)
    images = pictures()[:8]
    plain, scaled = one.detect_batch(images), one.detect_batch(images, sizes)
    for factor, at_input, at_original in zip(factors, plain, scaled, strict=True):
        expected = at_input.detections.boxes * torch.tensor([2, 1, 2, 1]) * factor
        torch.testing.assert_close(at_original.detections.boxes, expected, rtol=1e-5, atol=1e-3)


def test_odd_batches():
    one = Runner(checkpoint("plain"), policy({"exit1": EVERYTHING}), "cpu")
    assert one.detect_batch(pictures()[:0]) == []
    with pytest.raises(ValueError, match="images must be uint8"):
        one.detect_batch(torch.zeros(1, 3, SIZE_PX + 1, SIZE_PX, dtype=torch.uint8))
    with pytest.raises(TypeError, match="must be RGB uint8"):
        one(np.zeros((9, 9), np.uint8))


def test_rules_on_several_statistics():
    names = ("mean_confidence", "agreement")
    columns = np.stack([values(trace("three"), "exit2", name) for name in names])
    rule = LogisticRule(names, tuple(columns.mean(1)), tuple(columns.std(1)), (1.0, 1.0), 0.0)
    a_policy = policy({"exit2": rule})
    choice = a_policy.choose(trace("three"))
    assert 3 < (choice == 1).sum() < IMAGES - 3
    found = run(Runner(detector("three"), a_policy), 8)
    odds = ((columns - columns.mean(1, keepdims=True)) / columns.std(1, keepdims=True)).sum(0)
    near = np.abs(1 / (1 + np.exp(-odds)) - 0.5) < NEAR
    assert all(a.exit_index == b or c for a, b, c in zip(found, choice, near, strict=True))


def test_drifting_rates_are_said_once(monkeypatch):
    monkeypatch.setattr(runner_module, "DriftMonitor", partial(DriftMonitor, window=8))
    rates, tuned_on = {"exit1": 0.1, "exit2": 0.4, "full": 0.5}, {"images": 2000}
    one = Runner(detector(), policy({"exit1": EVERYTHING}, exit_rates=rates, tuned_on=tuned_on))
    with pytest.warns(DriftWarning, match="exit1 100.0%"):
        run(one, 8, pictures()[:16])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(one, 8, pictures()[:16])
    rates = {"exit1": 1.0, "exit2": 0.0, "full": 0.0}
    as_expected = Runner(detector(), policy({"exit1": EVERYTHING}, exit_rates=rates, tuned_on=tuned_on))
    unknown = Runner(detector(), policy({"exit1": EVERYTHING}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for quiet in (as_expected, unknown):
            run(quiet, 8, pictures()[:16])


def test_policies_of_other_models_are_refused():
    with pytest.raises(UserError, match="exit3"):
        Runner(detector("plain"), policy({"exit3": EVERYTHING}))
    with pytest.raises(UserError, match="classes"):
        Runner(detector("plain"), Policy(model="0", classes=("cat", "dog"), rules={"exit1": EVERYTHING}))
    network = checkpoint("plain")
    other = Checkpoint(network.model, ClassMap(("tv", "chair")), network.decoding, network.state)
    with pytest.raises(UserError, match="classes"):
        Runner(other, policy({"exit1": EVERYTHING}))
