"""A kept random cascade, and a set of pictures whose true boxes are what its full exit is surest of."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cascade_exit.data import DataConfig, RoleFiles
from cascade_exit.model import FULL
from cascade_exit.policies import Policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.policies.statistics import STATISTICS
from cascade_exit.runtime import Detector, read_kept_model, rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint
from cascade_exit.trace import Trace
from tests.model.networks import SIZE_PX
from tests.runtime.cascades import CLASSES, checkpoint, pictures

GROUP = 2  # pictures of each
EMPTY = 5  # every so many-th picture has no box


class Blotches(NamedTuple):
    """Where the model and the set lie."""

    model: Path
    root: Path

    @property
    def fingerprint(self) -> str:
        return model_fingerprint(self.model)

    @property
    def data(self) -> DataConfig:
        return DataConfig(root=str(self.root), classes=CLASSES, test=RoleFiles("annotations/test.json"))

    @property
    def words(self) -> list[str]:
        return [
            f"run={self.model}",
            "data=coco",
            f"data.root={self.root}",
            "data.test.annotations=annotations/test.json",
        ]

    def policy(self, rules: dict, **more) -> Policy:
        return Policy(model=self.fingerprint, classes=CLASSES, rules=rules, **more)


def make(folder: Path) -> Blotches:
    made = Blotches(folder / "models" / "blotches", folder / "set")
    write_kept_model(made.model, rounded_to_16_bit(checkpoint("plain")), {})
    (made.root / "images").mkdir(parents=True)
    (made.root / "annotations").mkdir()
    detector = Detector(read_kept_model(made.model).checkpoint)
    images, annotations = [], []
    for number, picture in enumerate(pictures()):
        name = f"{number:02}.png"
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(made.root / "images" / name)
        # From photos of one to three times the size, so that there are small, medium and large objects.
        original = SIZE_PX * (1 + number % 3)
        size = {"width": SIZE_PX, "height": SIZE_PX, "original_width": original, "original_height": original}
        kind = "empty" if number % EMPTY == 0 else "crowded" if number % EMPTY == 1 else "simple"
        group = f"burst {number // GROUP}"
        images.append({"id": number + 1, "file_name": name, "group": group, "difficulty": kind, **size})
        boxes, _, labels = detector.every_exit(picture)[FULL]
        for box, label in list(zip(boxes.tolist(), labels.tolist(), strict=True))[: number % EMPTY]:
            bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            one = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": label, "bbox": bbox, "iscrowd": 0}
            annotations.append(one | {"area": bbox[2] * bbox[3]})
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (made.root / "annotations" / "test.json").write_text(json.dumps(content))
    return made


def some_stop(trace: Trace) -> dict[str, ThresholdRule]:
    """About a third leaves at each exit; thresholds lie halfway between two pictures."""
    rules, arrived = {}, np.ones(len(trace), bool)
    for name, statistic, share in (("exit1", "mid_scores", 0.35), ("exit2", "top_mean", 0.5)):
        values = STATISTICS[statistic](trace.exits[name].digest, None).double().numpy()
        ranked = np.sort(values[arrived])[::-1]
        first = round(share * ranked.size)
        rules[name] = ThresholdRule(statistic, float(ranked[first - 1 : first + 1].mean()))
        arrived &= values < rules[name].threshold
    return rules


NEVER = {name: ThresholdRule("max_score", 2.0) for name in ("exit1", "exit2")}
ALWAYS = {name: ThresholdRule("max_score", -1.0) for name in ("exit1", "exit2")}
