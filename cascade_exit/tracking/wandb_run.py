"""Weights & Biases, inside the run's own folder and without an account unless there is one."""

import netrc
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.runs import Manifest, Run, UserError, plain
from cascade_exit.tracking.config import LoggerConfig

STEP_KEY = "trainer/global_step"
Mode = Literal["offline", "online", "disabled"]


def make_wandb_logger(config: LoggerConfig, run: Run) -> WandbLogger:
    """Begin or continue a W&B run with the id of ours, and wrap it for Lightning.

    A W&B run that is still open in this process was left without ``finish_logger``, so it is ended as failed
    first. In the further processes of a distributed run nothing is begun.

    Args:
        config: Project, group, tags and mode.
        run: The open run; its verb is the job type.

    Raises:
        UserError: When wandb is not installed, or cannot begin a run (no network, wrong key).
    """
    experiment = _begin(config, run, wandb_mode(config))
    return WandbLogger(
        name=run.folder.name,
        save_dir=run.folder,
        project=config.project,
        id=run.id,
        offline=False,
        experiment=experiment,
    )


def wandb_mode(config: LoggerConfig) -> Mode:
    """Decide whether W&B sends: as configured; with ``auto`` by ``WANDB_MODE``, then by an API key at hand."""
    if config.mode != "auto":
        return config.mode
    asked = os.environ.get("WANDB_MODE")
    for mode in get_args(Mode):
        if asked == mode:
            return mode
    return "online" if os.environ.get("WANDB_API_KEY") or _has_netrc_entry() else "offline"


@rank_zero_only
def _begin(config: LoggerConfig, run: Run, mode: Mode) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb is not installed: pip install wandb, or give logger=csv") from error
    if wandb.run is not None:
        wandb.run.finish(exit_code=1)
    # Without these, staged artifacts and debug logs land in the home directory and are lost to the run.
    os.environ["WANDB_DATA_DIR"] = str((run.folder / "wandb").absolute())
    os.environ["WANDB_CACHE_DIR"] = str((run.folder / "wandb" / "cache").absolute())
    try:
        experiment = wandb.init(
            project=config.project,
            group=config.group,
            tags=config.tags,
            name=run.folder.name,
            id=run.id,
            # A run that begins (anew) takes the place of one that W&B has under its id.
            resume="allow" if run.resumed else None,
            job_type=run.manifest.verb,
            config=run.manifest.config | {"manifest": _facts(run.manifest)},
            dir=run.folder,
            mode=mode,
            settings=wandb.Settings(console="off", silent=mode == "offline"),
        )
    except wandb.Error as error:
        raise UserError(f"W&B could not begin run {run.id} ({error}): give logger.mode=offline") from error
    # W&B's own step starts again when a run is continued, ours does not.
    experiment.define_metric(STEP_KEY)
    experiment.define_metric("*", step_metric=STEP_KEY, step_sync=True)
    if mode == "offline":
        print(_offline_line(run.folder), file=sys.stderr)
    return experiment


def _facts(manifest: Manifest) -> dict[str, Any]:
    """What leads from a W&B run back to ours."""
    return {key: plain(getattr(manifest, key)) for key in ("id", "command", "parents", "data", "git", "tries")}


def _has_netrc_entry() -> bool:
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entry = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry and entry[2]:
            return True
    return False


def _offline_line(run_dir: Path) -> str:
    folder = run_dir / "wandb"
    return f"W&B is offline, files are in {folder}; to upload: wandb sync {shlex.quote(str(folder))}"
