"""`export`: keeps a trained detector as `models/<name>`, weights in 16 bit."""

import json
import re
from pathlib import Path
from typing import Any

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.policy_files import FoundPolicy
from cascade_exit.config import Call, ExportConfig
from cascade_exit.orchestration import run_verb
from cascade_exit.policies import read_policy
from cascade_exit.runs import Manifest, UserError, atomic_write_text, find_run, plain
from cascade_exit.runtime import rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint, read_model
from cascade_exit.runtime.loading import POLICY

FIGURES = ("images", "boxes", "data", "exits", "policy", "baseline", "bounds", "intervals")


def work(config: ExportConfig, call: Call) -> Path:
    """Writes the kept model; with `evaluation` its figures, with `policy` the policy."""
    root, target = Path(config.runs_root), Path(config.models_root) / config.name
    folder = find_run(config.run, root)
    manifest = Manifest.read(folder)
    checkpoint = rounded_to_16_bit(read_model(folder))
    with open_call(config, call, {"model": model_fingerprint(folder)}, [manifest.id]) as run:
        # Written each time: the kept folder is not the run's own and may have been changed since.
        write_kept_model(target, checkpoint, _details(config, manifest))
        if config.evaluation:
            figures = _figures(config.evaluation, root, model_fingerprint(target))
            write_kept_model(target, checkpoint, _details(config, manifest) | {"figures": figures})
        _keep_policy(config.policy, target, root)
        run.manifest.metrics["kept"] = str(target)
        people().print(f"Kept as {target} ({(target / 'model.safetensors').stat().st_size / 1e6:.1f} MB).")
    return run.folder


def _details(config: ExportConfig, manifest: Manifest) -> dict[str, Any]:
    return {
        "starting_weights": {
            "init": _last_names(manifest.config.get("init", "")),
            "origin": config.origin,
            "licence": config.licence,
        },
        "provenance": {
            "run": manifest.id,
            "command": _portable(manifest.command),
            "git": plain(manifest.git),
            "versions": plain(manifest.versions),
            "data": manifest.data,
        },
    }


def _last_names(init: Any) -> Any:
    """Sources of starting weights without the folders of the machine that they lay on."""
    if isinstance(init, dict):
        return {name: _last_names(source) for name, source in init.items()}
    return Path(str(init)).name


def _portable(command: str) -> str:
    """The command without the folders of the machine that it ran on: of absolute paths only the last name stays."""
    return re.sub(r"(?<==)/(?:[^\s/]*/)*([^\s/]*)", r"\1", command)


def _keep_policy(reference: str | None, target: Path, root: Path) -> None:
    """Puts a policy beside the weights, and takes away one of weights that lay there before."""
    model, path = TrainedModel.open(str(target), root, "cpu"), target / POLICY
    if reference:
        atomic_write_text(path, FoundPolicy.open(reference, model, root).path.read_text())
    elif path.exists() and read_policy(path).model != model.fingerprint:
        path.unlink()
        people().print(f"[yellow]Warning:[/] {path} was of other weights and is removed: tune run={target} makes one.")


def _figures(reference: str, root: Path, fingerprint: str) -> dict[str, Any]:
    folder = find_run(reference, root)
    measured = Manifest.read(folder).data.get("model")
    if measured != fingerprint:
        raise UserError(
            f"evaluation={reference} measured other weights ({measured}) than those kept ({fingerprint}): "
            f"evaluate run=models/<name> first, then export again with that run"
        )
    metrics = json.loads((folder / "metrics.json").read_text())
    return {key: metrics[key] for key in FIGURES if key in metrics} | {"run": Manifest.read(folder).id}


def main() -> None:
    """The command line."""
    run_verb("export", ExportConfig, work)


if __name__ == "__main__":
    main()
