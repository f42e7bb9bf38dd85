"""Many runs from one command: a launcher for Hydra's `-m`, its ledger, and what the terminal shows meanwhile."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade_exit.orchestration.job import Job, sweep_id
    from cascade_exit.orchestration.launcher import SweepLauncher, launch_settings, run_verb
    from cascade_exit.orchestration.ledger import Ledger, LedgerRow
    from cascade_exit.orchestration.search import Search, search_folder
    from cascade_exit.orchestration.search_settings import SearchConfig
    from cascade_exit.orchestration.settings import LaunchConfig
    from cascade_exit.orchestration.standing import Standing, job_standing
    from cascade_exit.orchestration.sweep import Sweep

__all__ = [
    "Job",
    "LaunchConfig",
    "Ledger",
    "LedgerRow",
    "Search",
    "SearchConfig",
    "Standing",
    "Sweep",
    "SweepLauncher",
    "job_standing",
    "launch_settings",
    "run_verb",
    "search_folder",
    "sweep_id",
]
_HOMES = {
    "job": ("Job", "sweep_id"),
    "launcher": ("SweepLauncher", "launch_settings", "run_verb"),
    "ledger": ("Ledger", "LedgerRow"),
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
