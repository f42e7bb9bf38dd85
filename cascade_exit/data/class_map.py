"""Which label stands for which class name."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassMap:
    """Frozen list of class names; the label of ``names[i]`` is ``i + 1`` and 0 is background.

    It is stored in every checkpoint and trace, so that labels keep their meaning wherever they are read.

    Args:
        names: Class names in label order, without background.

    Raises:
        ValueError: No name, an empty name, or a name given twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("classes must name at least one class, got none")
        for name in self.names:
            if not name.strip():
                raise ValueError(f"classes must be names with at least one character, got {name!r}")
        twice = [name for name in dict.fromkeys(self.names) if self.names.count(name) > 1]
        if twice:
            raise ValueError(f"classes must name every class once, got {twice[0]!r} {self.names.count(twice[0])} times")

    def __len__(self) -> int:
        return len(self.names)

    def label(self, name: str) -> int:
        """Label of a class name, 1-based.

        Raises:
            KeyError: The map has no class of that name.
        """
        if name not in self.names:
            raise KeyError(f"no class {name!r} in the class map {list(self.names)}")
        return self.names.index(name) + 1

    def name(self, label: int) -> str:
        """Class name of a label.

        Raises:
            KeyError: The label is background (0) or beyond the last class.
        """
        if not 1 <= label <= len(self.names):
            raise KeyError(f"no class has label {label}: labels go from 1 to {len(self.names)}")
        return self.names[label - 1]

    def to_list(self) -> list[str]:
        """Names in label order, as checkpoints and traces store them."""
        return list(self.names)

    @classmethod
    def from_list(cls, names: Sequence[str]) -> "ClassMap":
        """The class map that ``to_list`` was called on."""
        return cls(tuple(names))
