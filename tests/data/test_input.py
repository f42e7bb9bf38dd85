import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cascade_exit.data import InputConfig, boxes_to_input, boxes_to_original, resize_image

from .scenes import COLOURS, extent, paint, pixels_of

sizes = st.tuples(st.integers(8, 900), st.integers(8, 900))
inputs = st.builds(InputConfig, size_px=st.integers(64, 512), resize=st.sampled_from(["stretch", "letterbox"]))


@given(size=sizes, input=inputs, shares=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_come_back_from_the_input(size: tuple[int, int], input: InputConfig, shares: list[float]) -> None:
    height, width = size
    xs, ys = sorted(shares[:2]), sorted(shares[2:])
    box = torch.tensor([[xs[0] * width, ys[0] * height, xs[1] * width, ys[1] * height]])
    moved = boxes_to_input(box, size, input)
    assert moved.min() >= -1e-3
    assert moved.max() <= input.size_px + 1e-3
    torch.testing.assert_close(boxes_to_original(moved, size, input), box, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(300, 500), (500, 300), (90, 70), (160, 160)])
def test_boxes_follow_the_pixels_of_the_resized_image(resize: str, size: tuple[int, int]) -> None:
    input = InputConfig(size_px=160, resize=resize)
    box = [size[1] // 5, size[0] // 4, size[1] // 2, size[0] * 3 // 4]
    resized = resize_image(torch.from_numpy(paint(*size, [box]).transpose(2, 0, 1).copy()), input)
    assert resized.shape == (3, 160, 160)
    seen = extent(pixels_of(resized.permute(1, 2, 0).numpy(), COLOURS[0]))
    np.testing.assert_allclose(boxes_to_input(torch.tensor([box]).float(), size, input)[0], seen, atol=1.01)


@pytest.mark.parametrize(("size", "area"), [((50, 200), [0, 37, 100, 62]), ((200, 50), [37, 0, 62, 100])])
def test_letterbox_keeps_the_aspect_ratio_and_pads_both_sides(size: tuple[int, int], area: list[int]) -> None:
    input = InputConfig(size_px=100, resize="letterbox", scaling="symmetric")
    resized = resize_image(torch.zeros(3, *size, dtype=torch.uint8), input)
    photo = (resized == 0).all(dim=0)
    assert extent(photo.numpy()) == area
    assert resized[:, ~photo].unique().tolist() == [128]


def test_stretch_equals_torch_interpolation() -> None:
    photo = torch.randint(0, 256, (3, 61, 83), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        photo[None].float(), size=(48, 48), mode="bilinear", antialias=True, align_corners=False
    )[0]
    difference = resize_image(photo, InputConfig(size_px=48)).float() - expected
    assert difference.abs().max() <= 1.0


def test_boxes_beyond_the_photo_are_clipped_to_it() -> None:
    input = InputConfig(size_px=100)
    boxes = torch.tensor([[-20.0, 50.0, 130.0, 100.0]])
    assert boxes_to_original(boxes, (200, 400), input).tolist() == [[0.0, 100.0, 400.0, 200.0]]


def test_refuses_an_input_smaller_than_the_strides() -> None:
    with pytest.raises(ValueError, match="size_px must be at least 32, got 16"):
        InputConfig(size_px=16)
