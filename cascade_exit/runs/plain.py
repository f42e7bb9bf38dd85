"""Values as JSON can say them."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def plain(value: Any, key: str = "") -> Any:
    """Turn a value into dicts, lists and scalars that JSON can hold.

    Dataclasses become dicts, tuples become lists, paths become text, scalars of numpy and torch become
    Python's. A number that is not finite is a missing measurement: it is left out of a mapping and becomes
    None in a list.

    Args:
        value: What to convert.
        key: Dotted key of ``value``, for messages.

    Returns:
        A dict, list, str, int, float, bool or None.

    Raises:
        TypeError: When a value has no plain form; the message names the dotted key.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        present = {str(name): item for name, item in value.items() if not _is_missing(item)}
        return {name: plain(item, join_key(key, name)) for name, item in present.items()}
    if isinstance(value, list | tuple):
        return [plain(item, join_key(key, index)) for index, item in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    return _scalar(value, key)


def join_key(key: str, name: Any) -> str:
    """Give the dotted key of ``name`` below ``key``."""
    return f"{key}.{name}" if key else str(name)


def _scalar(value: Any, key: str) -> Any:
    value = _unwrapped(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{key or 'value'} is of type {type(value).__name__}, which cannot be written as JSON")


def _is_missing(value: Any) -> bool:
    value = _unwrapped(value)
    return isinstance(value, float) and not math.isfinite(value)


def _unwrapped(value: Any) -> Any:
    """Give the Python scalar inside a 0-dimensional array, numpy scalar or tensor; others as they are."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
