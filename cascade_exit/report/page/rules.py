"""What stops where: the rules of policy.json with their numbers, exit by exit."""

import math
from collections.abc import Sequence

from cascade_exit.model import FULL
from cascade_exit.policies import Policy
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.rules import AnyRule, LogisticRule, PerClassRule, RouterRule, ThresholdRule
from cascade_exit.report.page.cells import ABSENT, Cell, Table, number
from cascade_exit.report.page.lineage import Lineage
from cascade_exit.report.page.source import ReportedRun

_COLUMNS = ("exit", "rule", "looks at", "stops from", "scores", "expected to leave")
_FAMILIES = {"threshold": "threshold", "per_class": "per class", "logistic": "logistic model", "router": "router"}
_NOTE = (
    "An image stops where the value of the exit's rule is not below “stops from”. Scores: a temperature T on the "
    "logits, then a map from score to the probability of being right."
)


def rules_table(runs: Sequence[ReportedRun], lineage: Lineage) -> Table | None:
    """Rules, thresholds, calibration and certificate of every run that holds a policy.json; None where none does."""
    rows: list[list[Cell]] = []
    for run in runs:
        if run.stops is not None:
            rows.append([Cell(f"{lineage.label(run)}: {_about(run.stops)}")])
            rows += [_row(run, run.stops, name) for name in _exits(run.stops)]
            rows.append([Cell("certificate"), Cell(_certificate(run.stops))])
    return Table("What stops where", _COLUMNS, rows, _NOTE, wraps=True) if rows else None


def _exits(policy: Policy) -> list[str]:
    early = {*policy.rules, *policy.calibration, *policy.exit_rates} - {FULL}
    return [*sorted(early, key=lambda name: (len(name), name)), FULL]


def _row(run: ReportedRun, policy: Policy, name: str) -> list[Cell]:
    rule, rate = policy.rules.get(name), policy.exit_rates.get(name)
    return [
        Cell(name),
        Cell(_FAMILIES[rule.kind]) if rule else Cell("all that get there" if name == FULL else "never stops"),
        Cell(_looks_at(rule)) if rule else ABSENT,
        _threshold(run, name, rule) if rule else ABSENT,
        Cell(_calibration(policy.calibration.get(name))),
        ABSENT if rate is None else Cell(number(rate, ".exit_rates"), rate, f"exit_rates.{name} of {run.id}"),
    ]


def _looks_at(rule: AnyRule) -> str:
    match rule:
        case ThresholdRule():
            return rule.statistic
        case PerClassRule():
            lowest, highest = min(rule.class_thresholds), max(rule.class_thresholds)
            return (
                f"margin of the {rule.top} best boxes from {rule.floor:g} over the threshold of their class "
                f"({lowest:.3f} to {highest:.3f})"
            )
        case RouterRule():
            boxes = f" and the {rule.boxes} best boxes" if rule.boxes else ""
            return f"gain per cost ({rule.cost:.3f} of full), predicted from {', '.join(rule.statistics)}{boxes}"
        case LogisticRule():
            return f"probability, from {', '.join(rule.statistics)}"


def _threshold(run: ReportedRun, name: str, rule: AnyRule) -> Cell:
    if math.isinf(rule.threshold):
        return Cell("every image" if rule.threshold < 0 else "no image")
    # As many digits as tell neighbouring thresholds apart, where values are small.
    text = f"{rule.threshold:.4g}".replace("-", "−")
    return Cell(text, rule.threshold, f"rules.{name}.threshold of {run.id}")


def _calibration(calibration: ExitCalibration | None) -> str:
    if calibration is None:
        return "as they are"
    parts = [f"T = {calibration.temperature:.3f}"] if calibration.temperature != 1 else []
    if calibration.score_map is not None:
        parts.append(f"map of {len(calibration.score_map)} knots")
    return ", ".join(parts) or "as they are"


def _about(policy: Policy) -> str:
    role, images = policy.tuned_on.get("role"), policy.tuned_on.get("images")
    tuned = f", tuned on {images} {role or ''} images".rstrip() if images is not None else ""
    return f"policy {policy.name}{tuned}"


def _certificate(policy: Policy) -> str:
    facts = policy.certificate
    if facts is None:
        return "none"
    delta = facts.get("delta")
    sure = f"with confidence {100 * (1 - delta):g} %" if isinstance(delta, float) else "in expectation"
    numbers = {key: f"{facts[key]:.4f}" for key in ("bound", "mean_loss") if isinstance(facts.get(key), int | float)}
    return (
        f"mean {facts.get('loss')} loss against full at most {facts.get('epsilon')} {sure} ({facts.get('method')}; "
        f"bound {numbers.get('bound')}, observed {numbers.get('mean_loss')}, {facts.get('images')} images)"
    )
