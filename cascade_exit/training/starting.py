"""Where each network of a model starts: one source for all of them, or `init={exit1: SOURCE, full: SOURCE}`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cascade_exit.model import FULL, CascadeDetector, LoadReport, ModelConfig
from cascade_exit.runs import UserError, find_run
from cascade_exit.runtime.detector import read_model
from cascade_exit.training.init import StartingWeights, starting_weights, weights_of_run

EXITS, LOOKS = "exits.", "looks."
TORCHVISION = ("imagenet", "coco")


@dataclass(frozen=True)
class Start:
    """Starting weights of every network of a model.

    Attributes:
        weights: by the exit that a network ends at: `full`, and each look.
        folders: of the runs and kept models that they come from, by the same names.
    """

    weights: Mapping[str, StartingWeights]
    folders: Mapping[str, Path] = field(default_factory=dict)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the tensors' origins, part of the run's identity: "init", or "init exit1" and so on where they differ."""
        found = {name: weights.fingerprint for name, weights in self.weights.items()}
        one = set(found.values())
        names = {"init": found[FULL]} if len(one) == 1 else {f"init {name}": found[name] for name in found}
        return {name: value for name, value in names.items() if value}

    def load_into(self, detector: CascadeDetector, classes: tuple[str, ...]) -> "StartReport | None":
        """Takes over what fits, network by network; None where all start from scratch.

        Args:
            detector: the networks to start.
            classes: what their labels mean.

        Raises:
            UserError: nothing of a source fits its network.
        """
        reports = {}
        for name, network in detector.networks.items():
            weights = self.weights[name]
            part = replace(weights, state=None if weights.state is None else _part(weights.state, name))
            report = part.load_into(network, classes)
            if report is not None:
                reports[name] = weights.source, _without_looks(report)
        if not reports:
            return None
        return StartReport(reports, tuple(name for name in detector.networks if name not in reports))


@dataclass(frozen=True)
class StartReport:
    """What each network got.

    Attributes:
        networks: source and report, by the exit that a network ends at.
        scratch: networks that start from nothing.
    """

    networks: Mapping[str, tuple[str, LoadReport]]
    scratch: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model was taken over, with heads for all of its classes."""
        reports = [report for _, report in self.networks.values()]
        return not self.scratch and not any(
            report.missing or report.other_shape or report.new_classes for report in reports
        )

    @property
    def sources(self) -> str:
        """Where the weights come from, for people."""
        found = {name: source for name, (source, _) in self.networks.items()}
        if not self.scratch and len(set(found.values())) == 1:
            return next(iter(found.values()))
        return ", ".join(f"{source} ({name})" for name, source in found.items())

    def summary(self) -> str:
        """One line for people, without the sources."""
        reports = {name: report.summary() for name, (_, report) in self.networks.items()}
        if len(reports) + len(self.scratch) == 1:
            return reports[FULL]
        reports |= dict.fromkeys(self.scratch, "from scratch")
        return "; ".join(f"{name}: {summary}" for name, summary in reports.items())


def find_start(key: str, sources: str | Mapping[str, str], model: ModelConfig, root: Path) -> Start:
    """Reads starting weights.

    Args:
        key: that the sources were given as, for messages.
        sources: one for all networks (a network takes its own part where the source has it, else the one that ends at
            the source's full exit), or by the exit that a network ends at; those not named start from scratch.
        model: the networks.
        root: folder of all runs.

    Raises:
        UserError: a source is no weights.
    """
    networks = {**{name: look.backbone for name, look in model.looks.items()}, FULL: model.backbone}
    weights, folders = {}, {}
    for name, backbone in networks.items():
        source = sources if isinstance(sources, str) else sources.get(name, "scratch")
        if source == "scratch" or source in TORCHVISION or Path(source).expanduser().is_file():
            weights[name] = starting_weights(source, ModelConfig(backbone=backbone))
            continue
        try:
            folder = find_run(source, root)
        except UserError as error:
            raise UserError(f"{key}={source}: no such file or run: {error}") from error
        weights[name] = weights_of_run(source, folder)
        folders[name] = folder
    return Start(weights, folders)


def check_untrained(start: Start, report: StartReport | None, model: ModelConfig) -> None:
    """Refuses a model that would be kept as it starts, but does not start as a whole.

    Raises:
        UserError: it lacks weights, a network has no place for a part of its own (a pyramid, say), or would see other
            pixels or anchors than its weights have learnt with.
    """
    if report is None or not report.complete:
        got = "nothing" if report is None else report.summary()
        raise UserError(f"trainer.max_epochs=0 keeps the starting weights, which must be complete; taken over: {got}")
    for name, (source, of_network) in report.networks.items():
        # Early exits may stay behind, nothing else: what follows has learnt with it.
        if lost := [tensor for tensor in of_network.unused if not tensor.startswith(EXITS)]:
            raise UserError(
                f"trainer.max_epochs=0 keeps the starting weights: {name} has no place for {lost[0]} of {source} "
                f"({len(lost)} tensors); make model like the one that they come from"
            )
    for name, folder in start.folders.items():
        theirs, ours = (_seen_by(name, of) for of in (read_model(folder).model, model))
        for key, value in ours.items():
            if theirs[key] != value:
                raise UserError(
                    f"trainer.max_epochs=0 keeps the starting weights: {key} of {name} must be {theirs[key]}, with "
                    f"which the weights of {folder} have learnt, got {value}"
                )


def _seen_by(name: str, model: ModelConfig) -> dict[str, object]:
    """What decides about the pixels and anchors of the network that ends at an exit: a look, or else the full one."""
    look = model.looks.get(name)
    return {
        "size_px": look.size_px if look else model.input.size_px,
        "anchor_scales": look.anchor_scales if look else model.anchor_scales,
        "scaling": model.input.scaling,
        "resize": model.input.resize,
    }


def _part(state: Mapping[str, object], name: str) -> dict:
    """A network's part of some weights: its own by name, else the network that ends at the full exit."""
    prefix = f"{LOOKS}{name}."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return own or {key: value for key, value in state.items() if not key.startswith(LOOKS)}


def _without_looks(report: LoadReport) -> LoadReport:
    """Looks are inside the network that ends at the full exit, but are started by themselves."""
    return replace(report, missing=tuple(name for name in report.missing if not name.startswith(LOOKS)))
