"""Weights & Biases, inside the run's own folder and without an account unless there is one."""

import netrc
import os
import shlex
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.runs import UserError
from cascade_exit.tracking.config import LoggerConfig

STEP_KEY = "trainer/global_step"
Mode = Literal["offline", "online", "disabled"]


def make_wandb_logger(
    config: LoggerConfig, run_dir: Path, run_id: str, job_type: str, resolved_config: dict[str, Any]
) -> WandbLogger:
    """Begin or continue a W&B run with the id of ours, and wrap it for Lightning.

    Arguments are those of ``make_logger``. A W&B run that is still open in this process was left without
    ``finish_logger``, so it is ended as failed first. In the further processes of a distributed run nothing
    is begun.

    Raises:
        UserError: When wandb is not installed, or cannot begin a run (no network, wrong key).
    """
    mode = wandb_mode(config)
    run = _begin(config, run_dir, run_id, job_type, resolved_config, mode)
    return WandbLogger(
        name=run_dir.name, save_dir=run_dir, project=config.project, id=run_id, offline=False, experiment=run
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
def _begin(
    config: LoggerConfig,
    run_dir: Path,
    run_id: str,
    job_type: str,
    resolved_config: dict[str, Any],
    mode: Mode,
) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb is not installed: pip install wandb, or give logger=csv") from error
    if wandb.run is not None:
        wandb.run.finish(exit_code=1)
    # Without these, staged artifacts and debug logs land in the home directory and are lost to the run.
    os.environ["WANDB_DATA_DIR"] = str((run_dir / "wandb").absolute())
    os.environ["WANDB_CACHE_DIR"] = str((run_dir / "wandb" / "cache").absolute())
    try:
        run = wandb.init(
            project=config.project,
            group=config.group,
            tags=config.tags,
            name=run_dir.name,
            id=run_id,
            resume="allow",
            job_type=job_type,
            config=resolved_config,
            dir=run_dir,
            mode=mode,
            settings=wandb.Settings(console="off", silent=mode == "offline"),
        )
    except wandb.Error as error:
        raise UserError(f"W&B could not begin run {run_id} ({error}): give logger.mode=offline") from error
    # W&B's own step starts again when a run is continued, ours does not.
    run.define_metric(STEP_KEY)
    run.define_metric("*", step_metric=STEP_KEY, step_sync=True)
    if mode == "offline":
        print(_offline_line(run_dir))
    return run


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
    return f"W&B is offline, files are in {folder}; to upload: wandb sync {shlex.quote(str(folder))}/offline-run-*"
