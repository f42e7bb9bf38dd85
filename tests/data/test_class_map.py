import pytest

from cascade_exit.data import ClassMap


def test_labels_count_from_one_and_come_back_as_names() -> None:
    classes = ClassMap(("chair", "couch", "dog"))
    assert [classes.label(name) for name in classes.names] == [1, 2, 3]
    assert [classes.name(label) for label in (1, 2, 3)] == ["chair", "couch", "dog"]
    assert len(classes) == 3
    assert ClassMap.from_list(classes.to_list()) == classes


@pytest.mark.parametrize("label", [0, -1, 3])
def test_background_and_unknown_labels_have_no_name(label: int) -> None:
    with pytest.raises(KeyError, match=str(label)):
        ClassMap(("chair", "dog")).name(label)


def test_unknown_name_has_no_label() -> None:
    with pytest.raises(KeyError, match="cat"):
        ClassMap(("chair", "dog")).label("cat")


@pytest.mark.parametrize(
    ("names", "message"), [((), "at least one"), (("chair", " "), "one character"), (("a", "b", "a"), "'a' 2 times")]
)
def test_refuses_maps_without_meaning(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassMap(names)
