import pytest
import torch

from cascade_exit.model.head import OBJECT_PRIOR, Head, fill_background
from cascade_exit.model.output import ExitOutput


def test_values_stand_level_by_level_row_by_row_cell_by_cell_anchor_by_anchor():
    torch.manual_seed(0)
    head = Head([8, 16], anchors_per_cell=6, labels=3).eval()
    levels = [torch.randn(2, 8, 3, 2), torch.randn(2, 16, 1, 2)]
    output = head(levels)
    assert output.class_logits.shape == (2, (6 + 2) * 6, 3)
    assert output.box_deltas.shape == (2, (6 + 2) * 6, 4)
    index = 0
    for which, level in enumerate(levels):
        logits, deltas = head.classification[which](level), head.regression[which](level)
        for row in range(level.shape[2]):
            for column in range(level.shape[3]):
                for anchor in range(6):
                    cell = slice(anchor * 3, anchor * 3 + 3)
                    assert torch.equal(output.class_logits[:, index], logits[:, cell, row, column])
                    box = slice(anchor * 4, anchor * 4 + 4)
                    assert torch.equal(output.box_deltas[:, index], deltas[:, box, row, column])
                    index += 1
    assert index == output.class_logits.shape[1]


@pytest.mark.parametrize("labels", [2, 14])
def test_starts_with_ssdlites_weights_and_the_object_prior(labels):
    head = Head([64, 64], anchors_per_cell=6, labels=labels).eval()
    weights = torch.cat([m.weight.flatten() for m in head.modules() if isinstance(m, torch.nn.Conv2d)])
    assert 0.028 < weights.std() < 0.032
    output = head([torch.zeros(1, 64, 2, 2), torch.zeros(1, 64, 1, 1)])
    probability = output.class_logits.softmax(-1)
    torch.testing.assert_close(probability[..., 1:].sum(-1), torch.full((1, 30), OBJECT_PRIOR))
    assert (probability[..., 1:].std(-1, correction=0) < 1e-6).all()
    assert (output.box_deltas == 0).all()


def test_a_correction_starts_at_no_change():
    output = Head([64], anchors_per_cell=6, labels=3, corrects=True).eval()([torch.zeros(1, 64, 2, 2)])
    assert (output.class_logits == 0).all()
    assert (output.box_deltas == 0).all()


def test_channels_last_gives_the_same():
    head = Head([8], anchors_per_cell=6, labels=3).eval()
    level = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(head([level.contiguous(memory_format=torch.channels_last)]), head([level]))


def test_anchors_without_an_answer_read_background():
    answer = ExitOutput(torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4))
    filled = fill_background(answer, anchors=10, first=5)
    assert torch.equal(filled.class_logits[:, 5:8], answer.class_logits)
    assert torch.equal(filled.box_deltas[:, 5:8], answer.box_deltas)
    silent = [0, 1, 2, 3, 4, 8, 9]
    probability = filled.class_logits[:, silent].softmax(-1)
    assert (probability[..., 0] > 0.999).all()
    assert (probability[..., 1:] < 1e-4).all()
    assert (filled.box_deltas[:, silent] == 0).all()
    filled.class_logits.sum().backward()
    assert (answer.class_logits.grad == 1).all()
