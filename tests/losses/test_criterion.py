import pytest
import torch
from torch import Tensor

from cascade_exit.losses import (
    CascadeConfig,
    CascadeCriterion,
    DistillConfig,
    DiversityConfig,
    FocalConfig,
    LossConfig,
    cascade_loss,
    distill_loss,
    diversity_loss,
    match_anchors,
    multibox_loss,
)
from cascade_exit.losses import criterion as criterion_module
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.output import ExitOutput

from .samples import gradient_size, random_output, random_targets

NAMES = ("exit1", "exit2", "full")
ANCHORS = AnchorGrid(64).boxes * 5
TARGETS = random_targets([3, 0, 5])
EVERYTHING = LossConfig(distill=DistillConfig(weight=0.5, temperature=2.0))
OFF = {"diversity": DiversityConfig(weight=0.0), "cascade": CascadeConfig(weight=0.0)}


def outputs(names: tuple[str, ...] = NAMES) -> dict[str, ExitOutput]:
    return {name: random_output(3, len(ANCHORS), seed=NAMES.index(name)) for name in names}


def criterion(config: LossConfig, names: tuple[str, ...] = NAMES) -> CascadeCriterion:
    return CascadeCriterion(config, dict.fromkeys(names, ANCHORS), names)


def multibox(output: ExitOutput) -> Tensor:
    return sum(multibox_loss(output, match_anchors(TARGETS, ANCHORS, 0.5), TARGETS, ANCHORS).values())


def reached(term: Tensor, answers: dict[str, ExitOutput]) -> set[str]:
    """Which parts of which outputs get gradient from a term, as "exit logits" and "exit deltas"."""
    parts = {
        f"{name} {kind}": part
        for name, out in answers.items()
        for kind, part in zip(("logits", "deltas"), out, strict=True)
    }
    for part in parts.values():
        part.grad = None
    term.backward(retain_graph=True)
    return {name for name, part in parts.items() if gradient_size(part) > 0}


REACH = {f"{name}/classification": {f"{name} logits"} for name in NAMES}
REACH |= {f"{name}/localization": {f"{name} deltas"} for name in NAMES}
REACH |= {
    "diversity": {"exit1 logits", "exit2 logits", "full logits"},
    "cascade": {"exit2 logits", "full logits"},
    "distill": {"exit1 logits", "exit1 deltas", "exit2 logits", "exit2 deltas"},
}


def test_the_gradient_of_each_term_reaches_exactly_what_it_should() -> None:
    answers = outputs()
    terms = criterion(EVERYTHING)(answers, TARGETS).terms
    assert {name: reached(term, answers) for name, term in terms.items()} == REACH


def test_the_cascade_term_pulls_each_exit_to_the_one_before_it_only() -> None:
    answers = outputs()
    criterion(LossConfig())(answers, TARGETS).terms["cascade"].backward()
    pulled = {name: out.class_logits.grad.clone() for name, out in answers.items() if out.class_logits.grad is not None}
    for shallow, deep in (("exit1", "exit2"), ("exit2", "full")):
        answers[deep].class_logits.grad = None
        cascade_loss(answers[deep], answers[shallow]).backward()
        torch.testing.assert_close(pulled[deep], answers[deep].class_logits.grad)


def test_the_total_is_the_plans_sum() -> None:
    answers = outputs()
    total, terms = criterion(LossConfig())(answers, TARGETS)
    weighted = 0.3 * multibox(answers["exit1"]) + 0.4 * multibox(answers["exit2"]) + 0.3 * multibox(answers["full"])
    diversity = sum(diversity_loss(out, 0.15) for out in answers.values())
    cascade = cascade_loss(answers["exit2"], answers["exit1"]) + cascade_loss(answers["full"], answers["exit2"])
    torch.testing.assert_close(total, weighted + 0.05 * diversity + 0.05 * cascade)
    torch.testing.assert_close(terms["diversity"], diversity)
    torch.testing.assert_close(terms["cascade"], cascade)
    assert "distill" not in terms


def test_distillation_goes_from_the_last_exit_to_every_other_one() -> None:
    answers, distill = outputs(), DistillConfig(weight=2.0)
    weights = {"exit1": 0.25, "exit2": 0.25, "full": 0.5}
    total, terms = criterion(LossConfig(weights, distill=distill, **OFF))(answers, TARGETS)
    learnt = sum(distill_loss(answers[name], answers["full"], distill) for name in ("exit1", "exit2"))
    torch.testing.assert_close(terms["distill"], learnt)
    weighted = sum(weight * multibox(answers[name]) for name, weight in weights.items())
    torch.testing.assert_close(total, weighted + 2 * learnt)


def test_terms_of_weight_zero_are_neither_computed_nor_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("computed")

    for name in ("cascade_loss", "distill_loss", "diversity_loss"):
        monkeypatch.setattr(criterion_module, name, refuse)
    config = LossConfig({"exit1": 0.0, "exit2": 0.4, "full": 0.6}, **OFF)
    terms = criterion(config)(outputs(), TARGETS).terms
    assert set(terms) == {f"{name}/{part}" for name in ("exit2", "full") for part in ("classification", "localization")}


def test_weights_sum_to_one_over_the_exits_that_are_trained() -> None:
    answers = outputs()
    apply = criterion(LossConfig(**OFF))
    alone = apply({"full": answers["full"]}, TARGETS)
    torch.testing.assert_close(alone.total, multibox(answers["full"]))
    assert set(alone.terms) == {"full/classification", "full/localization"}
    exits = apply({name: answers[name] for name in ("exit1", "exit2")}, TARGETS)
    torch.testing.assert_close(exits.total, (0.3 * multibox(answers["exit1"]) + 0.4 * multibox(answers["exit2"])) / 0.7)


def test_an_exit_that_is_present_but_not_active_only_teaches() -> None:
    answers = outputs()
    total, terms = criterion(EVERYTHING)(answers, TARGETS, active=("exit1", "exit2"))
    assert set(terms) == set(REACH) - {"full/classification", "full/localization"}
    assert {part for part in reached(total, answers) if part.startswith("full")} == set()
    assert reached(terms["cascade"], answers) == {"exit2 logits"}
    assert reached(terms["diversity"], answers) == {"exit1 logits", "exit2 logits"}
    torch.testing.assert_close(terms["cascade"], cascade_loss(answers["exit2"], answers["exit1"]))


def test_a_static_model_has_no_terms_between_exits() -> None:
    answers = outputs(("full",))
    terms = criterion(EVERYTHING, ("full",))(answers, TARGETS).terms
    assert set(terms) == {"full/classification", "full/localization", "diversity"}


def test_exits_with_equal_anchors_are_matched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(criterion_module, "match_anchors", lambda *given: calls.append(given) or match_anchors(*given))
    CascadeCriterion(EVERYTHING, {name: ANCHORS.clone() for name in NAMES}, NAMES)(outputs(), TARGETS)
    assert len(calls) == 1


def test_exits_with_their_own_anchors_are_matched_with_them() -> None:
    own = AnchorGrid(96).boxes * (320 / 96)
    answers = {"exit1": random_output(3, len(own)), "full": random_output(3, len(ANCHORS), seed=2)}
    config = LossConfig({"exit1": 0.5, "full": 0.5}, **OFF)
    apply = CascadeCriterion(config, {"exit1": own, "full": ANCHORS}, ("exit1", "full"))
    first = sum(multibox_loss(answers["exit1"], match_anchors(TARGETS, own, 0.5), TARGETS, own).values())
    torch.testing.assert_close(apply(answers, TARGETS).total, 0.5 * first + 0.5 * multibox(answers["full"]))


def test_the_cascade_term_between_exits_with_different_anchors_is_refused() -> None:
    grids = {"exit1": ANCHORS[:-1], "exit2": ANCHORS, "full": ANCHORS}
    with pytest.raises(
        ValueError, match=rf"loss\.cascade\.weight must be 0 .*exit1 {len(ANCHORS) - 1}, exit2"
    ) as error:
        CascadeCriterion(LossConfig(), grids, NAMES)
    assert "\n" not in str(error.value)


def test_an_exit_without_a_weight_or_anchors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss\.exit_weights must name every exit, got none for exit3"):
        criterion(LossConfig(), ("exit1", "exit3", "full"))
    with pytest.raises(ValueError, match=r"anchors_by_exit must name every exit, got none for exit2"):
        CascadeCriterion(LossConfig(), {"exit1": ANCHORS, "full": ANCHORS}, NAMES)


def test_exits_that_cannot_be_trained_are_refused() -> None:
    apply = criterion(LossConfig({"exit1": 0.0, "exit2": 0.5, "full": 0.5}))
    with pytest.raises(ValueError, match=r"loss\.exit_weights must be above 0 for at least one of: exit1"):
        apply(outputs(), TARGETS, active=("exit1",))
    with pytest.raises(ValueError, match=r"active must name some of the exits full, got exit1"):
        apply(outputs(("full",)), TARGETS, active=("exit1",))
    with pytest.raises(ValueError, match=r"outputs must name some of the exits exit1, exit2, full, got none"):
        apply({}, TARGETS)


@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 0, 0]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_batches_with_few_or_no_objects_give_finite_values_and_gradients(counts: list[int], dtype: torch.dtype) -> None:
    answers = {name: random_output(3, len(ANCHORS), seed=index, dtype=dtype) for index, name in enumerate(NAMES)}
    total, terms = criterion(EVERYTHING)(answers, random_targets(counts))
    total.backward()
    assert all(torch.isfinite(value) and value.dtype == torch.float32 for value in (total, *terms.values()))
    assert all(torch.isfinite(part.grad).all() for out in answers.values() for part in out)


def test_descent_on_the_total_lowers_every_exits_loss() -> None:
    answers = outputs()
    apply = criterion(EVERYTHING)
    before = apply(answers, TARGETS).terms
    optimizer = torch.optim.Adam([part for out in answers.values() for part in out], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        apply(answers, TARGETS).total.backward()
        optimizer.step()
    after = apply(answers, TARGETS).terms
    assert all(after[name] < 0.7 * before[name] for name in before if "/" in name)


@pytest.mark.parametrize("iou", [0.2, 0.3])
def test_anchors_are_matched_at_the_iou_asked_for(iou: float) -> None:
    answers = outputs(("full",))
    found = criterion(LossConfig({"full": 1.0}, matcher_iou=iou, **OFF), ("full",))(answers, TARGETS).total
    matches = match_anchors(TARGETS, ANCHORS, iou)
    torch.testing.assert_close(found, sum(multibox_loss(answers["full"], matches, TARGETS, ANCHORS).values()))
    assert abs(found - multibox(answers["full"])) > 1e-3  # what 0.5 gives


def test_focal_loss_is_that_of_the_configuration() -> None:
    answers, focal = outputs(("full",)), FocalConfig(gamma=0.5, alpha=0.75)
    config = LossConfig({"full": 1.0}, classification="focal", focal=focal, **OFF)
    found = criterion(config, ("full",))(answers, TARGETS).total
    matches = match_anchors(TARGETS, ANCHORS, 0.5)
    expected = sum(multibox_loss(answers["full"], matches, TARGETS, ANCHORS, focal=focal).values())
    torch.testing.assert_close(found, expected)
    assert abs(found - multibox(answers["full"])) > 1e-3
