"""Whether a trace belongs to what is asked of it."""

from collections.abc import Sequence

from cascade_exit.runs import UserError
from cascade_exit.trace.schema import Trace


def check_trace(trace: Trace, *, model: str, data: str, classes: Sequence[str]) -> None:
    """Refuses a trace that says nothing about the model and the set at hand.

    Args:
        trace: the trace.
        model: fingerprint of the model that is meant.
        data: fingerprint of the set that is meant.
        classes: name of label i+1 at place i.

    Raises:
        UserError: the trace holds no image, or is of other weights, another set or another class map.
    """
    header = trace.header
    where = f"trace of the {header.role} role"
    if not len(trace):
        raise UserError(f"{where}: it holds no image; choose a split with images")
    if tuple(classes) != header.classes:
        raise UserError(f"{where}: {_class_difference(header.classes, tuple(classes))}; make the trace anew")
    for what, found, wanted in (("weights", header.model, model), ("images or boxes", header.data, data)):
        if found != wanted:
            raise UserError(
                f"{where}: it was made from other {what} (fingerprint {found[:16]}, asked for {wanted[:16]});"
                " make the trace anew"
            )


def _class_difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if len(found) != len(wanted):
        return f"it was made with {len(found)} class(es), asked for {len(wanted)}"
    label = next(i for i, (one, other) in enumerate(zip(found, wanted, strict=True), 1) if one != other)
    return f"label {label} stands for {found[label - 1]!r} in it, asked for {wanted[label - 1]!r}"
