"""Where the weights that a training started from come from, and the licence that they are under."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cascade_exit.runs import Manifest, UserError, find_run
from cascade_exit.runtime.kept_model import DESCRIPTION, is_kept

SCRATCH = "scratch"


class Origin(NamedTuple):
    """What is known of starting weights.

    Attributes:
        origin: in words; none: not known.
        licence: of the weights; none: not known.
    """

    origin: str | None
    licence: str | None


def starting_origin(init: Any, root: Path) -> Origin:
    """What the kept models that starting weights lead back to, directly or over training runs, say of theirs.

    Args:
        init: as a training run was given it: a source, or sources by the exit that a network ends at.
        root: folder of all runs.

    Returns:
        Nothing where any source leads to a file, to weights of others, or to a run that is gone.
    """
    sources = list(init.values()) if isinstance(init, dict) else [init]
    found = [_of_source(str(source), root) for source in sources if source != SCRATCH]
    return Origin(*(_together([one[part] for one in found]) for part in range(2)))


def _of_source(source: str, root: Path) -> Origin:
    try:
        folder = find_run(source, root)
    except UserError:
        return Origin(None, None)
    if not is_kept(folder):
        return starting_origin(Manifest.read(folder).config.get("init", SCRATCH), root)
    said = json.loads((folder / DESCRIPTION).read_text()).get("starting_weights", {})
    return Origin(said.get("origin"), said.get("licence"))


def _together(facts: list[str | None]) -> str | None:
    """Different facts one after the other; nothing where one is missing."""
    known = [fact for fact in facts if fact]
    return "; ".join(dict.fromkeys(known)) if known and len(known) == len(facts) else None
