"""`export`: keeps a trained detector, as weights in 16 bit or as graphs that other engines run."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import TrainedModel, open_call
from cascade_exit.apps.origins import SCRATCH, starting_origin
from cascade_exit.apps.policy_files import FoundPolicy
from cascade_exit.config import Call, ExportConfig
from cascade_exit.data import ImageStore, load_role, read_inputs
from cascade_exit.orchestration import run_verb
from cascade_exit.policies import read_policy
from cascade_exit.runs import Manifest, Run, UserError, atomic_path, atomic_write_text, find_run, plain
from cascade_exit.runtime import rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint, model_id, read_model
from cascade_exit.runtime.exported import Format, is_exported, read_exported
from cascade_exit.runtime.exporting import check_exportable, export_detector
from cascade_exit.runtime.kept_model import DESCRIPTION, WEIGHTS, pack_weights
from cascade_exit.runtime.loading import POLICY, SHIPPED
from cascade_exit.runtime.network import Backend

FIGURES = ("images", "boxes", "data", "exits", "policy", "baseline", "bounds", "intervals")
NO_POLICY = "none"
# Images of the calibrate role that ranges of activations are taken from, for 8 bit.
RANGE_IMAGES = 100
# One that begins there: not the middle of a relative path, of ~/… or of an address. Lists and mappings may hold it.
_ABSOLUTE_PATH = re.compile(r"(?<![\w./~-])/(?!/)(?:[^\s/,\]}'\"]*/)*([^\s/,\]}'\"]*)")
FORMATS: dict[Backend, Format] = {"onnxruntime": "onnx", "openvino": "openvino"}


def work(config: ExportConfig, call: Call) -> Path:
    """Writes the kept or exported model; with `evaluation` its figures, with `policy` the policy."""
    if config.format == "torch":
        return _keep(config, call)
    run = _exported(config, call)
    graphs = read_exported(run.folder)
    size_mb = sum((run.folder / name).stat().st_size for name in graphs.files) / 1e6
    policy = POLICY if (run.folder / POLICY).is_file() else "no policy"
    people().print(f"{len(graphs.graphs)} graphs ({size_mb:.1f} MB, {config.precision}), {policy}: {run.folder}")
    if config.name is not None:
        target = Path(config.models_root) / config.name
        _copy(run.folder, target, [*graphs.files, POLICY, DESCRIPTION])
        people().print(f"Kept as {target}.")
    return run.folder


def on_backend(model: TrainedModel, backend: Backend | None, threads: int | None, root: Path) -> TrainedModel:
    """The model as a backend runs it: exported first, where it is not, and found if it was exported before.

    Args:
        model: as it was found.
        backend: what is to run it; none: what it runs on already.
        threads: CPU threads for it.
        root: folder of all runs.

    Raises:
        UserError: the backend cannot run it or is not installed.
    """
    if is_exported(model.folder):
        return TrainedModel.open(str(model.folder), root, "cpu", backend, threads)
    if backend is None or backend == "torch":
        return model
    config = ExportConfig(run=str(model.folder), format=FORMATS[backend], policy=NO_POLICY, runs_root=str(root))
    words = (f"run={model.id}", f"format={config.format}")
    run = _exported(config, Call("export", " ".join(["cascade-exit", "export", *words]), words))
    return TrainedModel.open(str(run.folder), root, "cpu", backend, threads)


def _exported(config: ExportConfig, call: Call) -> Run:
    """The run that holds the graphs, closed."""
    assert config.format != "torch"
    check_exportable(config.format, config.precision)
    root = Path(config.runs_root)
    model = TrainedModel.open(config.run, root, "cpu", "torch")
    policy = _policy(config, model, root)
    fingerprints = {"model": model.fingerprint} | ({"policy": policy.fingerprint} if policy else {})
    images = None
    if config.precision == "int8":
        images = load_role(model.data(config.data), "calibrate")
        fingerprints["calibrate"] = images.fingerprint
    parents = [model.id, *([policy.run] if policy and policy.run else [])]
    # The name is where a copy goes, and the set is in the identity by its fingerprint.
    identified = replace(config, name=None, data=None)
    with open_call(identified, call, fingerprints, parents, wait=True) as run:
        if not run.finished:
            detector = model.detector
            inputs = (
                None
                if images is None
                else read_inputs(images, ImageStore(), detector.checkpoint.model.input, RANGE_IMAGES)
            )
            export_detector(
                detector, run.folder, model.id, model.fingerprint, config.format, config.precision, images=inputs
            )
            if policy:
                atomic_write_text(run.folder / POLICY, policy.path.read_text())
    return run


def _policy(config: ExportConfig, model: TrainedModel, root: Path) -> FoundPolicy | None:
    """The policy asked for, or where none is, the one that is shipped with the model, if it has one."""
    if config.policy == NO_POLICY:
        return None
    if config.policy is not None:
        return FoundPolicy.open(config.policy, model, root)
    try:
        return FoundPolicy.open(SHIPPED, model, root)
    except UserError:
        return None


def _copy(folder: Path, target: Path, names: list[str]) -> None:
    if (target / DESCRIPTION).is_file() and not is_exported(target):
        raise UserError(f"name={target.name}: {target} keeps a model's weights; give the exported model another name")
    target.mkdir(parents=True, exist_ok=True)
    old = read_exported(target).files if is_exported(target) else {}
    for name in [*old, POLICY]:
        (target / name).unlink(missing_ok=True)
    for name in names:
        if (folder / name).is_file():
            with atomic_path(target / name) as path:
                shutil.copyfile(folder / name, path)
                path.chmod(0o644)


def _keep(config: ExportConfig, call: Call) -> Path:
    assert config.name is not None
    root, target = Path(config.runs_root), Path(config.models_root) / config.name
    folder = find_run(config.run, root)
    manifest = Manifest.read(folder)
    checkpoint = rounded_to_16_bit(read_model(folder))
    if is_exported(target):
        raise UserError(f"name={target.name}: {target} is an exported model; give the kept model another name")
    base = find_run(config.base, root) if config.base else None
    pack_weights(target, checkpoint, base)  # refuses before there is a run
    fingerprints = {"model": model_fingerprint(folder)} | ({"base": model_fingerprint(base)} if base else {})
    parents = [manifest.id, *([model_id(base)] if base else [])]
    with open_call(config, call, fingerprints, parents) as run:
        # Written each time: the kept folder is not the run's own and may have been changed since.
        details = _details(config, manifest, root)
        write_kept_model(target, checkpoint, details, base)
        if config.evaluation:
            figures = _figures(config.evaluation, root, model_fingerprint(target))
            write_kept_model(target, checkpoint, details | {"figures": figures}, base)
        _keep_policy(config.policy, target, root)
        run.manifest.metrics["kept"] = str(target)
        size_mb = (target / WEIGHTS).stat().st_size / 1e6
        people().print(f"Kept as {target} ({size_mb:.1f} MB{f', the rest in {base}' if base else ''}).")
    return run.folder


def _details(config: ExportConfig, manifest: Manifest, root: Path) -> dict[str, Any]:
    init = manifest.config.get("init", SCRATCH)
    known = starting_origin(init, root)
    started = {
        "init": _last_names(init),
        "origin": config.origin or known.origin,
        "licence": config.licence or known.licence,
    }
    if init != SCRATCH and started["licence"] is None:
        people().print(
            "[yellow]Warning:[/] the licence of the starting weights is not known, so model.json cannot say it: "
            "export again with licence=… and origin=…"
        )
    return {
        "starting_weights": started,
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
    return _ABSOLUTE_PATH.sub(r"\1", command)


def _keep_policy(reference: str | None, target: Path, root: Path) -> None:
    """Puts a policy beside the weights, and takes away one of weights that lay there before."""
    model, path = TrainedModel.open(str(target), root, "cpu"), target / POLICY
    if reference and reference != NO_POLICY:
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
