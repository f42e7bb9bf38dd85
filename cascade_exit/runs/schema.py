"""Builds config dataclasses from plain values, and says everything that is wrong with them at once."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cascade_exit.runs.errors import UserError
from cascade_exit.runs.plain import join_key

T = TypeVar("T")


class SchemaError(UserError):
    """Values that do not fit a config; `lines` holds one sentence per mistake, each with its dotted key."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def build(schema: type[T], values: Mapping[str, Any], key: str = "") -> T:
    """Builds a config dataclass.

    Args:
        schema: the dataclass, with nested ones as field types.
        values: plain nested values, as YAML or JSON give them.
        key: dotted key of `values`, put before the keys in messages.

    Raises:
        SchemaError: with every unknown key, wrong type and broken rule.
    """
    lines = list(_unknown_keys(schema, values, key))
    try:
        built: T = _adapter(schema).validate_python(values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines += [_line(detail, key) for detail in error.errors()]
    if lines:
        raise SchemaError(lines)
    return built


def to_plain(config: Any) -> Any:
    """Inverse of `build`: plain dicts, lists and scalars, ready for JSON and for `weights_only` checkpoints."""
    return _adapter(type(config)).dump_python(config, mode="json")  # type: ignore[arg-type]


def closest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


@lru_cache
def _adapter(schema: Any) -> Any:  # beartype cannot check a TypeAdapter
    return TypeAdapter(schema)


def _dataclass_in(annotation: Any) -> tuple[type | None, bool]:
    """The dataclass of a field type, and whether the field holds several of it, by name or in a row."""
    if dataclasses.is_dataclass(annotation):
        return typing.cast(type, annotation), False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return next((found for found in map(_dataclass_in, arguments) if found[0]), (None, False))
    if origin is dict and dataclasses.is_dataclass(arguments[1]):
        return typing.cast(type, arguments[1]), True
    if origin is tuple and dataclasses.is_dataclass(arguments[0]):
        return typing.cast(type, arguments[0]), True
    return None, False


def _unknown_keys(schema: type, values: Any, key: str) -> Iterator[str]:
    if not isinstance(values, Mapping):
        return
    hints = typing.get_type_hints(schema)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(schema)}
    for name, value in values.items():
        if name not in fields:
            yield f"{join_key(key, name)}: unknown key{closest(str(name), fields)}"
            continue
        nested, several = _dataclass_in(fields[name])
        if nested is None:
            continue
        if several:
            for child, item in _children(value):
                yield from _unknown_keys(nested, item, join_key(join_key(key, name), child))
        else:
            yield from _unknown_keys(nested, value, join_key(key, name))


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _line(detail: Any, key: str) -> str:
    place = key
    for part in detail["loc"]:
        place = join_key(place, part)
    if detail["type"] == "value_error":
        return f"{place}: {detail['ctx']['error']}" if place else str(detail["ctx"]["error"])
    if detail["type"] == "missing":
        return f"{place}: must be given"
    shown = repr(detail["input"])
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{place}: {message}, got {shown if len(shown) <= 80 else shown[:77] + '...'}"
