"""A teacher on other anchors: small cases by hand, and a teacher that says the truth against the truth itself."""

import math

import pytest
import torch
from torch import Tensor

from cascade_exit.losses import (
    CascadeConfig,
    CascadeCriterion,
    DistillConfig,
    DiversityConfig,
    LossConfig,
    distill_loss,
)
from cascade_exit.losses.projection import project
from cascade_exit.model.anchors import AnchorGrid
from cascade_exit.model.boxes import decode_boxes, encode_boxes
from cascade_exit.model.output import ExitOutput

from .samples import gradient_size, random_output, random_targets

# Far apart from each other; the student has one like the first, one that overlaps the second by half, one of its own.
TEACHERS = torch.tensor([[0.0, 0, 40, 40], [100, 100, 160, 160], [101, 100, 161, 160]])
STUDENTS = torch.tensor([[0.0, 0, 40, 50], [100, 100, 160, 130], [200, 0, 240, 40]])
QUIET = [8.0, 0.0, 0.0]


def answer(logits: list[list[float]], boxes: Tensor = TEACHERS) -> ExitOutput:
    return ExitOutput(torch.tensor([logits]), encode_boxes(boxes, TEACHERS)[None])


def test_matched_anchors_take_over_the_detection_and_others_see_nothing():
    said = [[0.0, 2.0, -1.0], [0.0, 1.0, 3.0], [0.0, 1.0, 2.0]]
    output = project(answer(said), TEACHERS, STUDENTS, 0.5)
    # The third teacher anchor says the same as the second, less surely: NMS takes it away.
    assert output.class_logits[0, :2].tolist() == said[:2]
    probability = output.class_logits[0, 2].softmax(dim=-1)
    assert probability[0] == 1
    assert probability[1:].sum() < 1e-12
    boxes = decode_boxes(output.box_deltas, STUDENTS)[0]
    torch.testing.assert_close(boxes[:2], TEACHERS[:2])
    torch.testing.assert_close(output.box_deltas[0, 2], torch.zeros(4))


def test_the_surer_detection_gets_the_only_anchor():
    one = torch.tensor([[0.0, 0, 160, 160]])
    said = [[0.0, 1.0, 0.0], [0.0, 4.0, 0.0], QUIET]
    for order in ([0, 1, 2], [1, 0, 2]):
        logits = [said[place] for place in order]
        output = project(answer(logits), TEACHERS, one, 0.9)
        assert output.class_logits[0, 0].tolist() == said[1]


def test_images_do_not_mix():
    both = ExitOutput(torch.tensor([[[0.0, 3, 0], QUIET, QUIET], [QUIET, [0.0, 0, 3], QUIET]]), torch.zeros(2, 3, 4))
    output = project(both, TEACHERS, STUDENTS, 0.5)
    for image in range(2):
        alone = project(ExitOutput(*(part[image : image + 1] for part in both)), TEACHERS, STUDENTS, 0.5)
        for part, of_alone in zip(output, alone, strict=True):
            assert torch.equal(part[image], of_alone[0])


def test_a_box_without_area_is_left_out():
    shrunk = ExitOutput(
        torch.tensor([[[0.0, 3, 0], QUIET, QUIET]]), torch.tensor([[[0.0, 0, -900, 0]] + [[0.0] * 4] * 2])
    )
    output = project(shrunk, TEACHERS, STUDENTS, 0.5)
    assert torch.isfinite(output.box_deltas).all()
    assert output.class_logits[0, 0, 0] == 30


def loss_config(anchor_weighting: str = "confidence") -> LossConfig:
    return LossConfig(
        {"exit1": 0.5, "full": 0.5},
        diversity=DiversityConfig(0.0),
        cascade=CascadeConfig(0.0),
        distill=DistillConfig(1.0, anchor_weighting=anchor_weighting),
    )


def test_the_loss_in_closed_form():
    """One sure detection on one anchor, with weighting by confidence: its cross entropy and its box alone are left."""
    apply = CascadeCriterion(loss_config(), {"exit1": STUDENTS, "full": TEACHERS}, ("exit1", "full"))
    teacher = answer([[-60.0, 60.0, -60.0], [60.0, -60, -60], [60.0, -60, -60]])
    student = ExitOutput(torch.zeros(1, 3, 3), torch.zeros(1, 3, 4))
    terms = apply({"exit1": student, "full": teacher}, random_targets([0])).terms
    # The anchor is 50 px high, the box 40: centre off by 5 of 50 at variance 0.1, height by log 0.8 at 0.2.
    box = (1.0 - 0.5) + (abs(math.log(0.8)) / 0.2 - 0.5)
    torch.testing.assert_close(terms["distill"], torch.tensor(math.log(3) + box))


@pytest.mark.parametrize("anchor_weighting", ["none", "confidence"])
def test_a_student_that_says_what_the_teacher_says_loses_nothing(anchor_weighting):
    large, small = AnchorGrid(96).boxes, AnchorGrid(96, seen_size_px=64).boxes
    teacher = random_output(2, len(large), seed=3)
    student = ExitOutput(*(part.requires_grad_() for part in project(teacher, large, small, 0.5)))
    apply = CascadeCriterion(loss_config(anchor_weighting), {"exit1": small, "full": large}, ("exit1", "full"))
    term = apply({"exit1": student, "full": teacher}, random_targets([0, 0])).terms["distill"]
    assert abs(term) < 1e-6
    term.backward()
    assert gradient_size(teacher.class_logits) == gradient_size(teacher.box_deltas) == 0
    assert gradient_size(student.class_logits) < 1e-6


def test_each_exit_learns_on_its_own_anchors():
    """An exit on the teacher's anchors is compared anchor by anchor, a look by projection."""
    large, small = AnchorGrid(96).boxes, AnchorGrid(96, seen_size_px=64).boxes
    grids = {"exit1": small, "exit2": large, "full": large}
    config = LossConfig(cascade=CascadeConfig(0.0), diversity=DiversityConfig(0.0), distill=DistillConfig(1.0))
    answers = {name: random_output(2, len(grid), seed=len(name)) for name, grid in grids.items()}
    apply = CascadeCriterion(config, grids, tuple(grids))
    whole = apply(answers, random_targets([1, 2])).terms["distill"]
    taught = project(answers["full"], large, small, config.matcher_iou)
    expected = distill_loss(answers["exit1"], taught, config.distill)
    expected = expected + distill_loss(answers["exit2"], answers["full"], config.distill)
    torch.testing.assert_close(whole, expected)
