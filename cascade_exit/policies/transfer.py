"""A policy of one model applied unchanged to another: does what was learnt about stopping hold elsewhere?"""

from collections.abc import Sequence
from dataclasses import replace

from cascade_exit.policies.policy import Policy
from cascade_exit.policies.rules import AnyRule, PerClassRule
from cascade_exit.runs import UserError

SUFFIX = ", transferred"


def transfer_policy(policy: Policy, model: str, classes: Sequence[str], exit_names: Sequence[str]) -> Policy:
    """The same rules, thresholds and calibration for another model.

    Statistics, the inputs of learned rules and the calibration of scores do not know classes apart, so they go over as
    they are. Thresholds per class follow their classes by name. What was said of the old model alone (expected exit
    rates, a certificate) is left behind.

    Args:
        policy: of any model.
        model: fingerprint of the model that it is to decide for.
        classes: of that model; name of label i+1 at place i.
        exit_names: of that model.

    Returns:
        The policy itself if it belongs to that model.

    Raises:
        UserError: the model lacks an exit of the policy, or has a class that a per-class rule has no threshold for.
    """
    if policy.model == model and policy.classes == tuple(classes):
        return policy
    policy = replace(policy, exit_rates={}, certificate=None)
    policy.check_exits(exit_names)
    return replace(
        policy,
        model=model,
        classes=tuple(classes),
        rules={name: _for_classes(policy, name, rule, classes) for name, rule in policy.rules.items()},
        name=policy.name + SUFFIX,
    )


def _for_classes(policy: Policy, exit_name: str, rule: AnyRule, classes: Sequence[str]) -> AnyRule:
    if not isinstance(rule, PerClassRule):
        return rule
    known = dict(zip(policy.classes, rule.class_thresholds, strict=True))
    if unknown := [name for name in classes if name not in known]:
        raise UserError(
            f"policy {policy.name} cannot be transferred: its rule at {exit_name} has a threshold per class and none "
            f"for {', '.join(unknown)}; take a policy of another family, or tune one for this model"
        )
    return replace(rule, class_thresholds=tuple(known[name] for name in classes))
