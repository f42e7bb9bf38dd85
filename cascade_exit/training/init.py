"""Where training starts: `init=scratch|imagenet|coco|FILE|RUN`."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError

from torch import Tensor
from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights, WeightsEnum
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

from cascade_exit.model import CascadeDetector, LoadReport, Look, ModelConfig, load_what_fits, recognise
from cascade_exit.model.checkpoint import detector_state, read_state_file
from cascade_exit.model.class_rows import CLASS_LAYER, rows_by_class
from cascade_exit.runs import UserError
from cascade_exit.runtime.detector import model_fingerprint, read_model

IMAGENET: dict[str, WeightsEnum] = {
    "mobilenet_v3_large": MobileNet_V3_Large_Weights.IMAGENET1K_V2,
    "mobilenet_v3_small": MobileNet_V3_Small_Weights.IMAGENET1K_V1,
}


@dataclass(frozen=True)
class StartingWeights:
    """Weights to start from.

    Attributes:
        source: what the user asked for.
        state: tensors under the names they came with; none for `scratch`.
        fingerprint: of the tensors' origin, part of the run's identity; none for `scratch`.
        classes: what the labels of their class heads mean, label 1 first; none: nobody says.
    """

    source: str
    state: dict[str, Tensor] | None
    fingerprint: str | None
    classes: tuple[str, ...] | None = None

    def load_into(self, detector: CascadeDetector | Look, classes: tuple[str, ...]) -> LoadReport | None:
        """Takes over what fits; class heads by the names of their classes, where those of the weights are known.

        Args:
            detector: the network to start.
            classes: what its labels mean.

        Raises:
            UserError: nothing fits.
        """
        if self.state is None:
            return None
        try:
            state = recognise(self.state, detector.trunk)
        except UserError as error:
            raise UserError(f"init={self.source}: {error}") from error
        others = self.classes if self.classes != classes else None
        if others is not None:
            state = rows_by_class(state, others, detector.state_dict(), classes)
        report = load_what_fits(detector, state)
        if not report.loaded:
            raise UserError(
                f"init={self.source}: none of its {len(self.state)} tensors fits this model; check model.backbone"
            )
        if others is not None and any(CLASS_LAYER.fullmatch(name) for name in report.loaded):
            kept = tuple(name for name in classes if name in others)
            report = replace(report, kept_classes=kept, new_classes=tuple(name for name in classes if name not in kept))
        return report


def starting_weights(source: str, model: ModelConfig) -> StartingWeights:
    """Weights that need no run: scratch, imagenet, coco, or a file.

    Args:
        source: which of them.
        model: the network (which torchvision weights suit it).

    Raises:
        UserError: the file is missing or unreadable, or torchvision's weights cannot be had.
    """
    if source == "scratch":
        return StartingWeights(source, None, None)
    if source in ("imagenet", "coco"):
        return _from_torchvision(source, model)
    path = Path(source).expanduser()
    content = read_state_file(path)
    state = detector_state(content["state_dict"]) if "state_dict" in content else content
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    classes = content.get("hyper_parameters", {}).get("classes")
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    return StartingWeights(source, tensors, digest, tuple(classes) if classes else None)


def weights_of_run(source: str, folder: Path) -> StartingWeights:
    """Weights of a training run's best checkpoint, or of a kept model.

    Args:
        source: what the user called it.
        folder: where it lies.

    Raises:
        UserError: it has no readable weights.
    """
    checkpoint = read_model(folder)
    return StartingWeights(source, dict(checkpoint.state), model_fingerprint(folder), checkpoint.class_map.names)


def _from_torchvision(source: str, model: ModelConfig) -> StartingWeights:
    name = model.backbone.name
    if source == "coco" and name != "mobilenet_v3_large":
        raise UserError(f"init=coco: torchvision has COCO weights for mobilenet_v3_large only, not for {name}")
    if model.backbone.width != 1.0 or model.backbone.table is not None:
        raise UserError(f"init={source}: torchvision's weights are for width 1.0; use init=FILE for this backbone")
    if source == "coco" and not model.backbone.reduced_tail:
        raise UserError("init=coco: torchvision's COCO weights need model.backbone.reduced_tail=true")
    weights = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1 if source == "coco" else IMAGENET[name]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        file = Path(weights.url).name
        raise UserError(
            f"init={source}: {weights.url} cannot be fetched ({error}); download {file} where there is a network and "
            f"give its path as init=FILE, or start with init=scratch"
        ) from error
    # torchvision's list begins with background; ImageNet's has no detector's classes.
    classes = tuple(weights.meta["categories"][1:]) if source == "coco" else None
    return StartingWeights(source, dict(state), Path(weights.url).stem, classes)
