import numpy as np

from cascade_exit.evaluation import ImageTruth, image_kinds


def image(areas: list[float], crowd: list[bool] | None = None, original: tuple[int, int] | None = None) -> ImageTruth:
    count = len(areas)
    return ImageTruth(
        image_id=1,
        width=200,
        height=100,
        boxes=np.zeros((count, 4)),
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
        image([96.0**2] * 4),
        image([1.0, 500.0**2, 1.0, 1.0, 1.0, 1.0]),
        # A crowd is no object: this image is empty, and the next one holds a single small object.
        image([100.0**2], [True]),
        image([100.0**2, 4.0], [True, False]),
    ]
    kinds = image_kinds(images)
    assert members(kinds, "objects") == {"0": [0, 6], "1": [1, 7], "2-3": [2, 3], "4+": [4, 5]}
    assert members(kinds, "largest") == {"small": [1, 7], "medium": [2, 3], "large": [4, 5]}
    assert "difficulty" not in kinds


def test_sizes_are_those_of_the_original_photo() -> None:
    # Stored at half the side: an area of 40 x 40 px is of 80 x 80 px in the original, and 60 x 60 of 120 x 120.
    small, large = image([40.0**2], original=(200, 400)), image([60.0**2], original=(200, 400))
    assert members(image_kinds([small, large]), "largest") == {"medium": [0], "large": [1]}
    assert members(image_kinds([small, image([60.0**2])]), "largest") == {"medium": [0, 1]}


def test_by_difficulty_where_it_is_known() -> None:
    images = [image([1.0]), image([]), image([1.0])]
    kinds = image_kinds(images, ["simple", "empty", None])
    assert members(kinds, "difficulty") == {"empty": [1], "simple": [0]}
    assert "difficulty" not in image_kinds(images, [None, None, None])
    assert set(image_kinds([image([])])) == {"objects"}
