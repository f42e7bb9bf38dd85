"""Many runs from one command: a launcher for Hydra's `-m`, its ledger, and what the terminal shows meanwhile."""

from cascade_exit.orchestration.job import Job, sweep_id
from cascade_exit.orchestration.launcher import SweepLauncher, run_verb
from cascade_exit.orchestration.ledger import Ledger, LedgerRow
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.standing import Standing, job_standing
from cascade_exit.orchestration.sweep import Sweep

__all__ = [
    "Job",
    "LaunchConfig",
    "Ledger",
    "LedgerRow",
    "Standing",
    "Sweep",
    "SweepLauncher",
    "job_standing",
    "run_verb",
    "sweep_id",
]
