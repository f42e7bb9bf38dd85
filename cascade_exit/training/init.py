"""Where training starts: `init=scratch|imagenet|coco|FILE|RUN`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from torch import Tensor
from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights, WeightsEnum
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

from cascade_exit.model import CascadeDetector, LoadReport, Look, ModelConfig, load_what_fits, recognise
from cascade_exit.model.checkpoint import detector_state, read_state_file
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
    """

    source: str
    state: dict[str, Tensor] | None
    fingerprint: str | None

    def load_into(self, detector: CascadeDetector | Look) -> LoadReport | None:
        """Takes over what fits.

        Raises:
            UserError: nothing fits.
        """
        if self.state is None:
            return None
        try:
            report = load_what_fits(detector, recognise(self.state, detector.trunk))
        except UserError as error:
            raise UserError(f"init={self.source}: {error}") from error
        if not report.loaded:
            raise UserError(
                f"init={self.source}: none of its {len(self.state)} tensors fits this model; check model.backbone"
            )
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
    return StartingWeights(source, {k: v for k, v in state.items() if isinstance(v, Tensor)}, digest)


def weights_of_run(source: str, folder: Path) -> StartingWeights:
    """Weights of a training run's best checkpoint, or of a kept model.

    Args:
        source: what the user called it.
        folder: where it lies.

    Raises:
        UserError: it has no readable weights.
    """
    return StartingWeights(source, dict(read_model(folder).state), model_fingerprint(folder))


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
    return StartingWeights(source, dict(state), Path(weights.url).stem)
