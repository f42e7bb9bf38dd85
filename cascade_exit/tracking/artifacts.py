"""Artifacts of W&B: what a phase makes, and what it reads of others, so that lineage shows."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cascade_exit.runs import Manifest, Run
from cascade_exit.runs.folder import KEPT_MODEL_NAME
from cascade_exit.runs.manifest import MANIFEST_NAME
from cascade_exit.runtime.kept_model import base_of


class Outputs(NamedTuple):
    """What of a folder makes an artifact: its type, and its files, some of which may be missing."""

    kind: str
    files: tuple[str, ...]


KEPT_MODEL = Outputs("checkpoint", (KEPT_MODEL_NAME, "model.safetensors", "policy.json"))
OF_VERB = {
    "train": Outputs("checkpoint", ("checkpoints/best.ckpt",)),
    "trace": Outputs("trace", ("trace.safetensors",)),
    "tune": Outputs("policy", ("policy.json", "tuning.json")),
    "evaluate": Outputs("metrics", ("metrics.json",)),
    "benchmark": Outputs("metrics", ("metrics.json",)),
    "report": Outputs("report", ("report.html",)),
}


@rank_zero_only
def keep_outputs(logger: Logger, run: Run) -> None:
    """Log what the run has made as an artifact, such as ``checkpoint-0123abcd``; other loggers pass over it."""
    experiment = _experiment(logger)
    artifact = _artifact(run, run.folder) if experiment else None
    if artifact is not None:
        with _refusal_as_warning(run, artifact.name):
            experiment.log_artifact(artifact)


@rank_zero_only
def use_inputs(logger: Logger, run: Run, folders: Sequence[Path]) -> None:
    """Record the runs and kept models that a run reads as its inputs; other loggers pass over it.

    An input is named by its content. W&B gives equal content of one name one version, so the artifact that the
    input's own run has logged and the one used here are the same, also when both are uploaded later.

    Args:
        logger: A logger from ``make_logger``.
        run: The run that reads.
        folders: Of runs and kept models.
    """
    experiment = _experiment(logger)
    # What a kept model shares with its base is in the artifact of the base alone.
    bases = [base for folder in folders if (base := base_of(folder))]
    for folder in dict.fromkeys([*folders, *bases]) if experiment else ():
        artifact = _artifact(run, folder)
        if artifact is None:
            continue
        with _refusal_as_warning(run, artifact.name):
            if experiment.settings.mode == "online":
                experiment.use_artifact(artifact)
            else:
                # `use_artifact` refuses to work offline, though uploading later knows how to record the use.
                experiment._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def artifact_name(folder: Path) -> str:
    """Name of what a run, or kept model, has made: ``trace-0123abcd``, ``checkpoint-chair``."""
    kind, _ = _outputs(folder) or Outputs("run", ())
    name = folder.resolve().name if _is_kept(folder) else Manifest.read(folder).id
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}"


@contextmanager
def _refusal_as_warning(run: Run, name: str) -> Iterator[None]:
    """What a run has worked out is not lost because W&B does not take it."""
    import wandb

    try:
        yield
    except (wandb.Error, ValueError) as error:
        run.warn(f"W&B did not take artifact {name}: {(str(error).splitlines() or [''])[0]}")


def _experiment(logger: Logger) -> Any:
    """The W&B run, if there is one and it keeps anything."""
    return logger.experiment if isinstance(logger, WandbLogger) and not logger.experiment.disabled else None


def _artifact(run: Run, folder: Path) -> Any:
    """The artifact of a folder, for a run to log or use; None where there is nothing in it."""
    outputs = _outputs(folder)
    files = [name for name in outputs.files if (folder / name).is_file()] if outputs else []
    if outputs is None or not files:
        return None
    import wandb

    name = artifact_name(folder)
    artifact = wandb.Artifact(name, outputs.kind, metadata={"folder": folder.name})
    for file in files:
        # Staged where wandb stages its own: it removes what it has uploaded, which must not be the run's file.
        staged = run.folder / "wandb" / "artifacts" / "staging" / f"{name}-{Path(file).name}"
        _link(folder / file, staged)
        artifact.add_file(str(staged.absolute()), Path(file).name, policy="immutable", skip_cache=True)
    return artifact


def _link(file: Path, staged: Path) -> None:
    """Gives a file a second name without taking space; copies it where that cannot be."""
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.unlink(missing_ok=True)
    try:
        os.link(file.resolve(), staged)
    except OSError:
        shutil.copyfile(file, staged)


def _outputs(folder: Path) -> Outputs | None:
    if _is_kept(folder):
        return KEPT_MODEL
    return OF_VERB.get(Manifest.read(folder).verb) if (folder / MANIFEST_NAME).is_file() else None


def _is_kept(folder: Path) -> bool:
    return (folder / KEPT_MODEL_NAME).is_file()
