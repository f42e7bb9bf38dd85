"""Many runs from one command (sweeps, pipelines), what the terminal shows of them, and how runs hang together."""

from cascade_exit.orchestration.entering import Entry
from cascade_exit.orchestration.job import Job, sweep_id
from cascade_exit.orchestration.launcher import SweepLauncher, run_verb
from cascade_exit.orchestration.ledger import Ledger, LedgerRow
from cascade_exit.orchestration.lineage import KnownRun, Lineage
from cascade_exit.orchestration.phases import Phases, Step
from cascade_exit.orchestration.pipeline import earlier_runs, plan, run_phases
from cascade_exit.orchestration.run_tables import end_table, lineage_tree, list_table, plan_table
from cascade_exit.orchestration.settings import LaunchConfig
from cascade_exit.orchestration.standing import Standing, job_standing
from cascade_exit.orchestration.sweep import Sweep

__all__ = [
    "Entry",
    "Job",
    "KnownRun",
    "LaunchConfig",
    "Ledger",
    "LedgerRow",
    "Lineage",
    "Phases",
    "Standing",
    "Step",
    "Sweep",
    "SweepLauncher",
    "earlier_runs",
    "end_table",
    "job_standing",
    "lineage_tree",
    "list_table",
    "plan",
    "plan_table",
    "run_phases",
    "run_verb",
    "sweep_id",
]
