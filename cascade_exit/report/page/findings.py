"""What can be said of classes, in sentences made from metrics.json: which leave early, which need the full model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade_exit.report.page.cells import between, lookup, number
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

_SHARE, _DROP, _AP = "policy.exit_rates", "relative_ap_drop", "AP"
_VERDICTS = {
    "helps": "help",
    "harms": "harm",
    "trades": "trade AP for speed",
    "not told apart": "cannot be told apart from one for all",
}
NOTE = (
    "In brackets: 95 % bootstrap intervals over the images, each for itself. What is said to be beyond chance holds "
    "for all classes at once with that confidence, so an interval may leave zero out where nothing is claimed."
)


@dataclass(frozen=True)
class Finding:
    """An answer.

    Attributes:
        question: that it answers.
        lines: the answer, a sentence or two each.
    """

    question: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What one run says.

    Attributes:
        title: which run, on how many images.
        findings: its answers.
    """

    title: str
    findings: tuple[Finding, ...]


def class_findings(runs: Sequence[ReportedRun], lineage: Lineage) -> list[Findings]:
    """Of every run that was analysed class by class."""
    return [
        Findings(f"{lineage.label(run)}, on {run.figures['images']:,} images", found)
        for run in runs
        if run.figures.get("class_claims") and (found := _findings(run))
    ]


def _findings(run: ReportedRun) -> tuple[Finding, ...]:
    claims: Mapping[str, Any] = run.figures["class_claims"]
    found = [_early(run, claims["early"])] if "early" in claims else []
    found += [_full(run, claims["gain"])] if "gain" in claims else []
    found += [_cost(run, claims["drop"])] if "drop" in claims else []
    return (*found, _thresholds(run)) if found else ()


def _early(run: ReportedRun, claims: Mapping[str, Any]) -> Finding:
    average = f"Of the images that hold an object, {number(claims['average'], _SHARE)} leave early."
    if tuned_for := lookup(run.figures, "policy.tuned_for"):
        average = f"The policy was tuned for {tuned_for}, and is applied unchanged. {average}"
    lines = [
        _named(run, "Images with these classes do so more often, beyond chance:", claims["above"], "early", _SHARE),
        _named(run, "Images with these less often, beyond chance:", claims["below"], "early", _SHARE),
        _untold(run, "Cannot be told apart from the average", claims, "early", _SHARE),
        _too_few(run),
    ]
    return Finding("Which classes exit early?", (average, *filter(None, lines)))


def _full(run: ReportedRun, gains: Mapping[str, Mapping[str, Any]]) -> Finding:
    lines: list[str] = []
    for name, claims in gains.items():
        path = f"gain.{name}"
        lines += [
            _named(run, f"Beyond {name}, going on to full gains AP, beyond chance, for", claims["above"], path, _AP),
            _named(run, f"Full is worse than {name}, beyond chance, for", claims["below"], path, _AP),
            _untold(run, f"Whether full is better than {name} cannot be told", claims, path, _AP),
        ]
    return Finding("Which need the full model?", tuple(filter(None, lines)))


def _cost(run: ReportedRun, claims: Mapping[str, Any]) -> Finding:
    lines = [
        _named(run, "The policy loses AP against full, beyond chance, for", claims["above"], "drop.full", _DROP),
        _named(run, "It gains, beyond chance, for", claims["below"], "drop.full", _DROP),
        _untold(run, "Whether it loses or gains cannot be told", claims, "drop.full", _DROP),
    ]
    if spread := lookup(run.figures, "class_drop.full"):
        low, high, first, third, std = (
            number(spread[key], _DROP) for key in ("min", "max", "quartile1", "quartile3", "std")
        )
        chance = number(spread["std_by_chance"], _DROP)
        line = (
            f"Relative drops of {spread['classes']} classes lie between {low} and {high}, the middle half of them "
            f"between {first} and {third}; their standard deviation is {std}, and would be about {chance} if all "
            "classes had the same drop."
        )
        more = " So the spread is no more than chance makes." if spread["std"] <= spread["std_by_chance"] else ""
        lines.append(line + more)
    return Finding("What does stopping early cost them?", tuple(filter(None, lines)))


def _thresholds(run: ReportedRun) -> Finding:
    lines = []
    own = {name: found["threshold"] for name, found in run.figures["classes"].items() if "threshold" in found}
    if own:
        for name in dict.fromkeys(exit_name for found in own.values() for exit_name in found):
            each = [f"{label} {found[name]:.2f}" for label, found in _highest(own, name)]
            lines.append(
                f"The policy stops at {name} where each of the best boxes has its class's score: {', '.join(each)}."
            )
    elif "policy" in run.figures:
        lines.append("The policy's rules do not know classes apart: the same thresholds, under Policies, hold for all.")
    compared = run.figures.get("class_thresholds")
    if not compared:
        lines.append("Whether thresholds per class would help was not measured (evaluate with crossfit=true).")
        return Finding("Which thresholds?", tuple(lines))
    limit = number(compared["limit"], _DROP)
    for variant, words in (("own", "of each class's own"), ("shrunk", "shrunk where a class is rare")):
        lines.append(_difference(compared["differences"][variant], words, limit))
    for name, found in compared["exits"].items():
        per_class = sorted(found["shrunk"].items(), key=lambda pair: -pair[1])
        shared = f"{name}: one threshold for all would be {found['shared']:.2f}"
        if "strength" in found:
            lines.append(f"{shared}; per class {', '.join(f'{label} {value:.2f}' for label, value in per_class)}.")
        else:
            lines.append(f"{shared}, and cross-validation prefers it to any of their own.")
    return Finding("Which thresholds?", tuple(lines))


def _difference(difference: Mapping[str, Any], words: str, limit: str) -> str:
    verdict = difference.get("verdict")
    said = _VERDICTS[verdict] if verdict else "have no intervals to be judged by"
    gaps = [
        f"{what} {number(difference[key], key)}{_bracketed(difference, key)}"
        for key, what in (("AP", "AP"), ("speedup_macs", "speedup in MACs"))
    ]
    return (
        f"On images they were not tuned on, thresholds {words} {said}: against one for all, each tuned for a drop of "
        f"at most {limit}, the difference is {' and '.join(gaps)}."
    )


def _highest(own: Mapping[str, Mapping[str, float]], name: str) -> list[tuple[str, Mapping[str, float]]]:
    return sorted(((label, found) for label, found in own.items() if name in found), key=lambda each: -each[1][name])


def _named(run: ReportedRun, words: str, names: Sequence[str], path: str, unit: str) -> str:
    return f"{words} {_each(run, names, path, unit)}." if names else ""


def _untold(run: ReportedRun, words: str, claims: Mapping[str, Any], path: str, unit: str) -> str:
    classes = run.figures["classes"]
    told = {*claims["above"], *claims["below"]}
    names = [
        name
        for name, found in classes.items()
        if name not in told and not found["few"] and lookup(found, path) is not None
    ]
    names.sort(key=lambda name: -lookup(classes[name], path))
    return f"{words} with these {run.figures['images']:,} images: {_each(run, names, path, unit)}." if names else ""


def _too_few(run: ReportedRun) -> str:
    few = [f"{name} ({found['boxes']} boxes)" for name, found in run.figures["classes"].items() if found["few"]]
    return f"Too few to claim anything of: {', '.join(few)}." if few else ""


def _each(run: ReportedRun, names: Sequence[str], path: str, unit: str) -> str:
    classes = run.figures["classes"]
    return ", ".join(
        f"{name} {number(lookup(classes[name], path), unit)}{_bracketed(classes[name], path, unit)}" for name in names
    )


def _bracketed(figures: Mapping[str, Any], path: str, unit: str = "") -> str:
    interval = between(figures.get("intervals", {}).get(path), unit or path)
    return f" ({interval})" if interval else ""
