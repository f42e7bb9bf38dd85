import torch

from cascade_exit.model.context import ContextFusion


def test_starts_as_if_it_were_not_there():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(ContextFusion(5, 8)(x, torch.randn(2, 5, 4, 4)), x)


def fusion() -> ContextFusion:
    torch.manual_seed(0)
    built = ContextFusion(5, 8)
    torch.nn.init.normal_(built.project.weight)
    return built


def test_adds_the_projection_cell_by_cell():
    built, x, context = fusion(), torch.randn(2, 8, 4, 4), torch.randn(2, 5, 4, 4)
    expected = x + torch.einsum("oc,bcyx->boyx", built.project.weight[:, :, 0, 0], context)
    torch.testing.assert_close(built(x, context), expected)


def test_a_finer_context_is_averaged():
    built, x, context = fusion(), torch.randn(2, 8, 2, 2), torch.randn(2, 5, 4, 4)
    averaged = context.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(built(x, context), built(x, averaged))


def test_a_coarser_context_is_repeated():
    built, x, context = fusion(), torch.randn(2, 8, 4, 4), torch.randn(2, 5, 2, 2)
    repeated = context.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(built(x, context), built(x, repeated))
