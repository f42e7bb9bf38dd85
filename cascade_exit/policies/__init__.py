"""What to stop on and where: statistics, rules, calibration, risk control, operating points."""

from cascade_exit.policies.objectives import Objective
from cascade_exit.policies.policy import Policy, read_policy, write_policy

__all__ = ["Objective", "Policy", "read_policy", "write_policy"]
