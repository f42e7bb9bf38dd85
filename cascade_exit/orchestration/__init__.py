"""Many runs from one command (sweeps, searches, pipelines), what the terminal shows, and how runs hang together."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade_exit.orchestration.entering import Entry
    from cascade_exit.orchestration.job import Job, sweep_id
    from cascade_exit.orchestration.launcher import SweepLauncher, launch_settings, run_verb
    from cascade_exit.orchestration.ledger import Ledger, LedgerRow
    from cascade_exit.orchestration.lineage import KnownRun, Lineage
    from cascade_exit.orchestration.phases import Phases, Step
    from cascade_exit.orchestration.pipeline import earlier_runs, plan, run_phases
    from cascade_exit.orchestration.run_tables import end_table, lineage_tree, list_table, plan_table
    from cascade_exit.orchestration.search import Search, search_folder
    from cascade_exit.orchestration.search_settings import SearchConfig
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
    "Search",
    "SearchConfig",
    "Standing",
    "Step",
    "Sweep",
    "SweepLauncher",
    "earlier_runs",
    "end_table",
    "job_standing",
    "launch_settings",
    "lineage_tree",
    "list_table",
    "plan",
    "plan_table",
    "run_phases",
    "run_verb",
    "search_folder",
    "sweep_id",
]
_HOMES = {
    "entering": ("Entry",),
    "job": ("Job", "sweep_id"),
    "launcher": ("SweepLauncher", "launch_settings", "run_verb"),
    "ledger": ("Ledger", "LedgerRow"),
    "lineage": ("KnownRun", "Lineage"),
    "phases": ("Phases", "Step"),
    "pipeline": ("earlier_runs", "plan", "run_phases"),
    "run_tables": ("end_table", "lineage_tree", "list_table", "plan_table"),
    "search": ("Search", "search_folder"),
    "search_settings": ("SearchConfig",),
    "settings": ("LaunchConfig",),
    "standing": ("Standing", "job_standing"),
    "sweep": ("Sweep",),
}


def __getattr__(name: str) -> Any:
    # Lazy: what stands by a job on a cluster (far_end) must not take the seconds and the memory of torch.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
