"""How findings about a data set are put to the person who brought it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from cascade_exit.runs.errors import UserError


def refuse(problems: Sequence[str], noun: str, where: str = "") -> None:
    """Raises if there are problems: the first one in full, the others as a count.

    Args:
        problems: One line each.
        noun: What is counted, as in "and 3 more <noun> with problems".
        where: What the line starts with, such as a file name and a colon.

    Raises:
        UserError: There is at least one problem.
    """
    if problems:
        rest = f"; and {len(problems) - 1} more {noun} with problems" if len(problems) > 1 else ""
        raise UserError(f"{where}{problems[0]}{rest}")


def suggestion(word: str, known: Iterable[str], shown: int = 100) -> str:
    """Says what was perhaps meant and what there is, as the end of a line."""
    names = list(known)
    lowered = {name.lower(): name for name in reversed(names)}
    close = get_close_matches(word.lower(), lowered, n=1)
    listed = ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
    return (f"did you mean {lowered[close[0]]!r}? " if close else "") + f"there is: {listed or 'nothing'}"
