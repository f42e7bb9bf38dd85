import numpy as np

from cascade_exit.evaluation import ImageTruth, image_kinds


def image(
    areas: list[float],
    crowd: list[bool] | None = None,
    original: tuple[int, int] | None = None,
    boxes: list[list[float]] | None = None,
) -> ImageTruth:
    count = len(areas)
    return ImageTruth(
        image_id=1,
        width=200,
        height=100,
        boxes=np.array(boxes, np.float64) if boxes else np.zeros((count, 4)),
        labels=np.ones(count, np.int64),
        crowd=np.array(crowd or [False] * count, bool),
        areas=np.array(areas, np.float64),
        original_size=original,
    )


def members(kinds: dict, name: str) -> dict[str, list[int]]:
    return {kind: np.flatnonzero(mask).tolist() for kind, mask in kinds[name].items()}


def test_by_number_and_size() -> None:
    images = [
        image([]),
        image([31.0**2]),
        image([32.0**2, 5.0]),
        image([95.0**2, 1.0, 1.0]),
        image([96.0**2] * 5),
        image([1.0, 500.0**2, 1.0, 1.0, 1.0, 1.0]),
        # A crowd is no object: this image is empty, and the next one holds a single small object.
        image([100.0**2], [True]),
        image([100.0**2, 4.0], [True, False]),
    ]
    kinds = image_kinds(images)
    assert members(kinds, "objects") == {"0": [0, 6], "1": [1, 7], "2-4": [2, 3], "5+": [4, 5]}
    # Of one small and one medium object, the size is the smaller.
    assert members(kinds, "size") == {"small": [1, 2, 3, 5, 7], "large": [4]}
    assert "difficulty" not in kinds


def test_sizes_are_those_of_the_original_photo() -> None:
    # Stored at half the side: an area of 40 x 40 px is of 80 x 80 px in the original, and 60 x 60 of 120 x 120.
    small, large = image([40.0**2], original=(200, 400)), image([60.0**2], original=(200, 400))
    assert members(image_kinds([small, large]), "size") == {"medium": [0], "large": [1]}
    assert members(image_kinds([small, image([60.0**2])]), "size") == {"medium": [0, 1]}


def test_by_the_pair_that_overlaps_most() -> None:
    square = [0.0, 0.0, 10.0, 10.0]
    boxes = {
        "apart": [square, [10.0, 0.0, 20.0, 10.0], [60.0, 60.0, 70.0, 70.0]],
        "touching": [square, [8.0, 0.0, 18.0, 10.0], [60.0, 60.0, 70.0, 70.0]],  # 20 of 180
        "overlapping": [square, [60.0, 60.0, 70.0, 70.0], [5.0, 0.0, 15.0, 10.0]],  # 50 of 150
    }
    images = [image([100.0] * 3, boxes=each) for each in boxes.values()]
    # Neither a single object nor one beside a crowd is crowded.
    images += [image([100.0]), image([100.0] * 2, [False, True], boxes=[square, square]), image([])]
    assert members(image_kinds(images), "crowding") == {name: [place] for place, name in enumerate(boxes)}


def test_by_difficulty_where_it_is_known() -> None:
    images = [image([1.0]), image([]), image([1.0])]
    kinds = image_kinds(images, ["simple", "empty", None])
    assert members(kinds, "difficulty") == {"empty": [1], "simple": [0]}
    assert "difficulty" not in image_kinds(images, [None, None, None])
    assert set(image_kinds([image([])])) == {"objects"}
