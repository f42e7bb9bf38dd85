"""What makes two runs the same run: the settings that decide the result, and nothing else."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from cascade_exit.runs.plain import join_key

_MISSING: Any = dataclasses.MISSING
_NUMBER = re.compile(r"\d+(e\d+)?")


def not_identity(default: Any = _MISSING, *, default_factory: Callable[[], Any] = _MISSING) -> Any:
    """Declare a config field that does not decide the result: a path, a number of workers, a device.

    Args:
        default: The field's default value.
        default_factory: Makes the default value, for a field whose default is mutable.

    Returns:
        A dataclass field whose metadata says ``{"identity": False}``.
    """
    return dataclasses.field(default=default, default_factory=default_factory, metadata={"identity": False})


def identity_of(config: Any) -> dict[str, Any]:
    """Reduce a config dataclass to the plain nested dict that decides the result.

    Fields declared with ``not_identity`` are left out at every depth, nested dataclasses become dicts and
    tuples become lists.

    Args:
        config: A config dataclass instance.

    Returns:
        A dict of None, bool, int, float, str, list and dict.

    Raises:
        TypeError: When ``config`` is no dataclass instance, or when an identifying field holds a path or
            anything else that has no place in an identity; the message names the dotted key.
        ValueError: When an identifying field holds NaN or infinity.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"an identity is made from a config dataclass, got {type(config).__name__}")
    return _plain_dataclass(config, "")


def identity_hash(
    verb: str, identity: Mapping[str, Any], data_fingerprints: Mapping[str, str], parents: Sequence[str]
) -> str:
    """Give the 8 hexadecimal digits that name a run.

    The order of keys does not matter and equal numbers are equal however they are written (1 and 1.0).

    Args:
        verb: What was asked for, such as ``train``.
        identity: The result of ``identity_of``.
        data_fingerprints: Fingerprint of each data set, by its name.
        parents: Ids of the runs this one starts from, in order.

    Returns:
        8 hexadecimal digits of the SHA-256 of the canonical JSON of all four: the first that are no number.

    Raises:
        ValueError: When ``identity`` holds NaN or infinity.
        TypeError: When ``identity`` holds anything but plain values.
    """
    content = {
        "verb": verb,
        "identity": canonical(identity),
        "data": dict(data_fingerprints),
        "parents": list(parents),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digits = hashlib.sha256(text.encode("ascii")).hexdigest()
    places = (digits[place : place + 8] for place in range(len(digits) - 7))
    # Not one that a command line would read as a number: `run=12345678`, `run=52e10441`.
    return next(place for place in places if not _NUMBER.fullmatch(place))


def canonical(value: Any, key: str = "") -> Any:
    """Bring a plain value to the one form that equal values share.

    Tuples become lists and floats with a whole value become integers, so that 1 and 1.0 are the same; a
    bool stays a bool.

    Args:
        value: None, bool, int, float, str, or a mapping or sequence of these.
        key: Dotted key of ``value``, for messages.

    Returns:
        The same value of plain dicts, lists and scalars.

    Raises:
        TypeError: When a value is a path or another type that has no place in an identity.
        ValueError: When a float is NaN or infinite.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key or 'value'} must be finite to identify a run, got {value}")
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {_text_key(name, key): canonical(item, join_key(key, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, join_key(key, index)) for index, item in enumerate(value)]
    if isinstance(value, PurePath):
        raise TypeError(f"{key or 'value'} is a path, which cannot identify a run: declare it not_identity")
    raise TypeError(f"{key or 'value'} is of type {type(value).__name__}, which cannot identify a run")


def _plain_dataclass(config: Any, key: str) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(config, field.name), join_key(key, field.name))
        for field in dataclasses.fields(config)
        if field.metadata.get("identity", True)
    }


def _plain(value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_dataclass(value, key)
    if isinstance(value, Mapping):
        return {_text_key(name, key): _plain(item, join_key(key, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, join_key(key, index)) for index, item in enumerate(value)]
    canonical(value, key)
    return value


def _text_key(name: Any, key: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{join_key(key, name)} must have a text key, got {type(name).__name__}")
    return name


def differences(ours: Any, theirs: Any) -> list[tuple[str, str, str]]:
    """Name the dotted keys whose values differ between two identities, in the order of the keys.

    Args:
        ours: One identity, or a part of it.
        theirs: The other.

    Returns:
        Key, our value and theirs as JSON; a key that one side lacks reads ``absent``. Empty when equal.
    """
    flat_ours, flat_theirs = _flatten(canonical(ours)), _flatten(canonical(theirs))
    paths = sorted(flat_ours.keys() | flat_theirs.keys(), key=lambda path: (_dotted(path), repr(path)))
    values = [(_dotted(path), flat_ours.get(path, "absent"), flat_theirs.get(path, "absent")) for path in paths]
    return [(key, our, their) for key, our, their in values if our != their]


def first_differences(ours: Any, theirs: Any, limit: int = 3) -> list[str]:
    """Give lines such as ``seed (1, there 2)`` for the first keys whose values differ; see ``differences``."""
    return [f"{key} ({our}, there {their})" for key, our, their in differences(ours, theirs)[:limit]]


def _dotted(path: tuple[str | int, ...]) -> str:
    key = ""
    for name in path:
        key = join_key(key, name)
    return key


def _flatten(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], str]:
    """Values as JSON by their path: two paths may have the same dotted key, where names have dots or are empty."""
    if not value or not isinstance(value, dict | list):
        return {path: json.dumps(value)}
    children = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[tuple[str | int, ...], str] = {}
    for name, item in children:
        flat |= _flatten(item, (*path, name))
    return flat
