import math

import pytest
import torch
from torch import nn

from cascade_exit.model import ExitConfig
from cascade_exit.model.anchors import level_cells
from cascade_exit.model.attention import CBAM
from cascade_exit.model.branch import Branch, Pyramid

from .networks import copy_shared, stir


def branch(**settings) -> Branch:
    torch.manual_seed(0)
    built = Branch(ExitConfig(8, **{"channels": 32, **settings}), channels_in=24, stride_px=16)
    stir(built)
    return built.eval()


def pyramid(channels: int, lateral_channels: int | None, coarse_depth: int = 0) -> Pyramid:
    torch.manual_seed(0)
    built = Pyramid(channels, lateral_channels, coarse_depth)
    stir(built)
    return built.eval()


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_depth_counts_separable_convolutions(depth):
    depthwise = [m for m in branch(depth=depth, kernel=5).layers.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == depth
    assert all(layer.kernel_size == (5, 5) for layer in depthwise)


@pytest.mark.parametrize("channels", [32, 96])
def test_width_is_that_of_the_map(channels):
    assert branch(channels=channels)(torch.randn(2, 24, 6, 5)).shape == (2, channels, 6, 5)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("stride_px", "side", "expected"), [(4, 25, 7), (8, 13, 7), (16, 7, 7), (32, 4, 4)])
def test_finer_maps_are_brought_to_the_first_level(kernel, stride_px, side, expected):
    # 100 px: maps of 25, 13, 7 and 4 cells.
    for depth in (1, 3):
        built = Branch(ExitConfig(8, channels=16, depth=depth, kernel=kernel), 24, stride_px).eval()
        assert built(torch.randn(1, 24, side, side)).shape == (1, 16, expected, expected)


def test_skip_adds_the_projected_input():
    with_skip, without = branch(skip=True), branch(skip=False)
    copy_shared(with_skip, without)
    x = torch.randn(2, 24, 6, 6)
    convolution, norm = with_skip.skip
    expected = without(x) + norm(nn.functional.conv2d(x, convolution.weight))
    torch.testing.assert_close(with_skip(x), expected)
    assert without.skip is None


def test_attention_stands_on_the_branch_not_on_the_skip():
    with_attention, without = branch(attention="cbam"), branch(attention="none")
    copy_shared(with_attention, without)
    assert isinstance(with_attention.attention, CBAM)
    x = torch.randn(2, 24, 6, 6)
    skipped = without.skip(x)
    torch.testing.assert_close(with_attention(x), with_attention.attention(without(x) - skipped) + skipped)


@pytest.mark.parametrize("size_px", [96, 100, 192, 224, 320, 416])
@pytest.mark.parametrize("coarse", [False, True])
def test_pyramid_has_every_anchor_level(size_px, coarse):
    side = math.ceil(size_px / (32 if coarse else 16))
    built = Pyramid(16, 24 if coarse else None).eval()
    finer = torch.randn(1, 24, math.ceil(size_px / 16), math.ceil(size_px / 16)) if coarse else None
    levels = built(torch.randn(1, 16, side, side), finer)
    assert tuple(level.shape[-1] for level in levels) == level_cells(size_px)
    assert [level.shape[1] for level in levels] == built.level_channels
    assert built.level_channels[:2] == ([8, 16] if coarse else [16, 128])


def test_the_finest_level_sees_the_finer_map_and_the_branch_above_it():
    built = pyramid(16, 24)
    finer, above = torch.randn(1, 24, 10, 10), torch.randn(1, 16, 5, 5)
    before = built(above, finer)
    nudged = above.clone()
    nudged[0, :, 2, 3] += 1
    changed = (built(nudged, finer)[0] - before[0]).abs().amax((0, 1)) > 1e-6
    rows, columns = (axis.unique().tolist() for axis in changed.nonzero(as_tuple=True))
    # Cell (2, 3) covers cells (4..5, 6..7) below, and the smoothing convolution sees one more on each side.
    assert (rows, columns) == ([3, 4, 5, 6], [5, 6, 7, 8])
    nudged = finer.clone()
    nudged[0, :, 4, 6] += 1
    after = built(above, nudged)
    changed = (after[0] - before[0]).abs().amax((0, 1)) > 1e-6
    rows, columns = (axis.unique().tolist() for axis in changed.nonzero(as_tuple=True))
    assert (rows, columns) == ([3, 4, 5], [5, 6, 7])
    # The levels above come from the branch alone.
    for one, other in zip(after[1:], before[1:], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(before[1], above)


def test_levels_above_are_made_one_from_the_other():
    built = pyramid(16, None)
    levels = built(torch.randn(1, 16, 6, 6), None)
    for block, below, level in zip(built.down, levels[:-1], levels[1:], strict=True):
        torch.testing.assert_close(block(below), level)


@pytest.mark.parametrize("coarse", [False, True])
def test_coarse_blocks_stand_on_the_second_level_and_reach_all_others(coarse):
    lateral = 24 if coarse else None
    with_blocks, without = pyramid(16, lateral, coarse_depth=2), pyramid(16, lateral)
    copy_shared(with_blocks, without)
    branch_map = torch.randn(1, 16, *((4, 4) if coarse else (7, 7)))
    finer = torch.randn(1, 24, 7, 7) if coarse else None
    levels, plain = with_blocks(branch_map, finer), without(branch_map, finer)
    before = branch_map if coarse else with_blocks.down[0](branch_map)
    assert torch.equal(levels[1], with_blocks.blocks(before))
    assert [level.shape for level in levels] == [level.shape for level in plain]
    assert not any(torch.allclose(one, other) for one, other in zip(levels, plain, strict=True))
    blocks = [m for m in with_blocks.blocks.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (5, 5)]
    assert len(blocks) == 2
