"""Settings in which runs differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade_exit.report.page.source import ReportedRun
from cascade_exit.runs.plain import join_key

INPUTS, IDLE = "inputs", "without effect on the result"
_SHORT = 16
_MOST_SAID = 3


@dataclass(frozen=True)
class Difference:
    """A setting in which runs differ.

    Attributes:
        key: dotted.
        values: of each run, in order; None where a run does not have the setting.
        decides: whether it decides the result.
    """

    key: str
    values: tuple[str | None, ...]
    decides: bool

    @property
    def group(self) -> str:
        """First part of the key, where it has parts; what does not decide the result is a group of its own."""
        if not self.decides:
            return IDLE
        first, _, rest = self.key.partition(".")
        return first if rest else "run"


def differences(runs: Sequence[ReportedRun]) -> list[Difference]:
    """Settings and inputs that are not the same in all runs, group by group; what decides the result comes first.

    Args:
        runs: of one verb, since those of others have other settings.
    """
    flat = [_settings(run) for run in runs]
    identities = [flatten(run.identity) for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    found = []
    for key in keys:
        values = tuple(settings.get(key) for settings in flat)
        if len(set(values)) > 1:
            decides = key.startswith(f"{INPUTS}.") or any(key in identity for identity in identities)
            found.append(Difference(key, values, decides))
    order = sorted(dict.fromkeys(each.group for each in found), key=lambda group: (group == IDLE, group == INPUTS))
    return [each for group in order for each in found if each.group == group]


def distinguishing(runs: Sequence[ReportedRun]) -> dict[str, dict[str, str]]:
    """The few settings that tell runs apart, by the run's id: last part of the key, and value. Empty where many do."""
    found = [each for each in differences(runs) if each.decides and each.group != INPUTS]
    if not 0 < len(found) <= _MOST_SAID:
        return {}
    return {
        run.id: {each.key.split(".")[-1]: str(each.values[place]) for each in found if each.values[place] is not None}
        for place, run in enumerate(runs)
    }


def flatten(value: Any, key: str = "") -> dict[str, str]:
    """Dotted keys of nested settings, with values as text; lists of plain values stay together."""
    if isinstance(value, Mapping) and value:
        return {name: text for part, item in value.items() for name, text in flatten(item, join_key(key, part)).items()}
    return {key: _said(value)}


def _settings(run: ReportedRun) -> dict[str, str]:
    inputs = {f"{INPUTS}.{name}": fingerprint[:_SHORT] for name, fingerprint in run.data.items()}
    parents = {f"{INPUTS}.parents": ", ".join(run.parents)} if run.parents else {}
    return flatten(run.config) | inputs | parents


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_said(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    # As an identity has it: 1 and 1.0 are the same.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
