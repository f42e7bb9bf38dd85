"""A policy: what stops where, with its numbers fixed, and policy.json."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cascade_exit.model import FULL, Digest
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.rules import AnyRule, PerClassRule, describe_rule, rule_stops
from cascade_exit.runs import SchemaError, UserError, atomic_write_text, build, to_plain
from cascade_exit.trace import Trace

SCHEMA_VERSION = 1
ABOUT = "At each exit an image stops if the value of the exit's rule is not below its threshold; at the last, always."
Fact = str | int | float | bool | None


@dataclass(frozen=True)
class Policy:
    """What stops where.

    Attributes:
        model: fingerprint of the model that it was tuned for.
        classes: of that model; name of label i+1 at place i.
        rules: by exit name; an exit without a rule stops nothing.
        calibration: of scores, by exit name; it also acts on what the rules see.
        exit_rates: share of the images expected to leave at each exit; empty where unknown.
        tuned_on: what it was tuned on, such as role, data (fingerprint), images (their number) and baseline.
        certificate: what is guaranteed of its risk, if anything.
        name: for tables and plots.
    """

    model: str
    classes: tuple[str, ...]
    rules: dict[str, AnyRule]
    calibration: dict[str, ExitCalibration] = field(default_factory=dict)
    exit_rates: dict[str, float] = field(default_factory=dict)
    tuned_on: dict[str, Fact] = field(default_factory=dict)
    certificate: dict[str, Fact] | None = None
    name: str = "policy"

    def __post_init__(self) -> None:
        if FULL in self.rules:
            raise ValueError(f"rules must not name {FULL}: every image that gets there stops")
        if (rule := self.rules.get("exit1")) is not None and rule.compares:
            raise ValueError("rules.exit1 must not compare with a previous exit: there is none")
        if not all(0 <= rate <= 1 for rate in self.exit_rates.values()):
            raise ValueError(f"exit_rates must lie in [0, 1], got {self.exit_rates}")
        if self.exit_rates and not math.isclose(sum(self.exit_rates.values()), 1, abs_tol=1e-6):
            raise ValueError(f"exit_rates must sum to 1, got {sum(self.exit_rates.values()):.6g}")

    def compares(self, name: str) -> bool:
        """Whether the exit's rule looks at the digest of the exit before it."""
        return name in self.rules and self.rules[name].compares

    def stops(self, name: str, digest: Digest, previous: Digest | None) -> Bool[Tensor, " batch"]:
        """Which images stop at an exit.

        Args:
            name: of the exit.
            digest: of that exit, not calibrated.
            previous: of the exit before it, not calibrated; may be None where `compares` is False.

        Returns:
            An image whose value is no number goes on.
        """
        if name not in self.rules:
            return torch.full((len(digest.logits),), name == FULL, device=digest.logits.device)
        if previous is not None:
            previous = self._calibrated(_before(name), previous)
        return rule_stops(self.rules[name], self._calibrated(name, digest), previous)

    def choose(self, trace: Trace) -> Int[np.ndarray, " image"]:
        """The exit of every image of a trace: index into its header's `exit_names`.

        Raises:
            UserError: the trace is of another model, lacks an exit, or holds digests that are no numbers.
        """
        self.check(trace.header.model, trace.header.classes)
        self.check_exits(trace.header.exit_names)
        choice = np.full(len(trace), len(trace.header.exit_names) - 1)
        going_on = np.ones(len(trace), dtype=bool)
        previous = None
        for index, name in enumerate(trace.header.exit_names[:-1]):
            digest = trace.exits[name].digest
            if name in self.rules:
                _check_digest(trace, name)
                stops = self.stops(name, digest, previous).numpy() & going_on
                choice[stops] = index
                going_on &= ~stops
            previous = digest
        return choice

    def check(self, model: str, classes: Sequence[str]) -> None:
        """Refuses to decide for another model.

        Raises:
            UserError: fingerprint or classes differ.
        """
        if tuple(classes) != self.classes:
            raise UserError(
                f"policy {self.name} is for the classes {', '.join(self.classes)}, the model has {', '.join(classes)}: "
                "tune a policy for this model (evaluate with transfer=true shows what it does unchanged)"
            )
        if model != self.model:
            raise UserError(
                f"policy {self.name} was tuned for model {self.model}, this is model {model}: tune a policy for it "
                "(evaluate with transfer=true shows what it does unchanged)"
            )

    def check_exits(self, exit_names: Sequence[str]) -> None:
        """Refuses a cascade that lacks an exit of the policy.

        Raises:
            UserError: which exit.
        """
        for part in (self.rules, self.calibration, self.exit_rates):
            if strangers := [name for name in part if name not in exit_names]:
                raise UserError(
                    f"policy {self.name} has numbers for {strangers[0]}, the model has only {', '.join(exit_names)}"
                )

    def class_thresholds(self) -> dict[str, dict[str, float]]:
        """Score from which on a class does not stand in the way of stopping, by class and exit with such a rule."""
        wanted: dict[str, dict[str, float]] = {}
        for exit_name, rule in self.rules.items():
            if isinstance(rule, PerClassRule) and math.isfinite(rule.threshold):
                for name, own in zip(self.classes, rule.class_thresholds, strict=True):
                    wanted.setdefault(name, {})[exit_name] = own + rule.threshold
        return wanted

    def _calibrated(self, name: str, digest: Digest) -> Digest:
        return self.calibration[name].digest(digest) if name in self.calibration else digest


def write_policy(path: Path, policy: Policy) -> None:
    """Writes policy.json: the policy, each rule in words, and a hash of it all."""
    content = _content(policy)
    text = json.dumps({**content, "sha256": _sha256(content)}, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def read_policy(path: Path) -> Policy:
    """Reads what `write_policy` wrote.

    Raises:
        UserError: the file is missing, damaged, changed by hand, or of another version.
    """
    content = _read_json(path)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema_version is {version}, this version reads {SCHEMA_VERSION}: tune again")
    if content.pop("sha256", None) != _sha256(content):
        raise UserError(f"{path}: the content is not what was written (other sha256): tune again, or restore the file")
    for key in ("schema_version", "about", "rules_in_words"):
        content.pop(key, None)
    try:
        return build(Policy, content)
    except SchemaError as error:
        raise UserError(f"{path}: {'; '.join(error.lines)}") from error


def _content(policy: Policy) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "about": ABOUT,
        "rules_in_words": {name: describe_rule(rule) for name, rule in policy.rules.items()},
        **words_for_infinity(to_plain(policy)),
    }


def words_for_infinity(value: Any) -> Any:
    """JSON has no infinity; as text, it is read back as the number."""
    if isinstance(value, Mapping):
        return {name: words_for_infinity(item) for name, item in value.items()}
    if isinstance(value, list):
        return [words_for_infinity(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `tune` writes one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a policy: a policy is a JSON object")
    return content


def _before(name: str) -> str:
    """The exit before one; exits are called exit1, exit2, …."""
    return f"exit{int(name.removeprefix('exit')) - 1}"


def _check_digest(trace: Trace, name: str) -> None:
    wrong = torch.zeros(len(trace), dtype=torch.bool)
    for part in trace.exits[name].digest:
        wrong |= part[:, None].flatten(1).isnan().any(dim=1)
    if wrong.any():
        place = int(wrong.nonzero()[0, 0])
        raise UserError(
            f"trace: the answer of {name} for image {trace.truth[place].image_id} holds values that are no number "
            f"({int(wrong.sum())} of {len(trace)} images): trace again with a sound model"
        )
