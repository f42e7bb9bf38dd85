"""`predict`: draws what each exit sees on anyone's photos."""

import hashlib
from pathlib import Path

from rich.progress import track

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, PredictConfig
from cascade_exit.data import ClassMap, read_image
from cascade_exit.evaluation import DetectionArrays
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Run, UserError, atomic_path, atomic_write_json, find_run
from cascade_exit.runtime import Detector
from cascade_exit.runtime.detector import model_fingerprint, model_id, read_model
from cascade_exit.visualization import exit_strip

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def work(config: PredictConfig, call: Call) -> Path:
    """Draws one picture per photo and writes all detections as JSON."""
    root = Path(config.runs_root)
    photos = find_photos(Path(config.source).expanduser())
    folder = find_run(config.run, root)
    detector = Detector(read_model(folder), config.device)
    digest = hashlib.sha256(b"".join(photo.name.encode() + photo.read_bytes() for photo in photos)).hexdigest()[:16]
    with open_call(config, call, {"photos": digest, "model": model_fingerprint(folder)}, [model_id(folder)]) as run:
        if not run.finished:
            _predict(config, run, detector, photos)
        people().print(f"{len(photos)} picture(s) in {run.folder / 'figures'}")
    return run.folder


def find_photos(source: Path) -> list[Path]:
    """The photo, or all photos of the folder.

    Raises:
        UserError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"source={source}: no such photo or folder")
    photos = sorted(path for path in source.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise UserError(f"source={source}: no photo in this folder; it reads {', '.join(PHOTO_SUFFIXES)}")
    return photos


def _predict(config: PredictConfig, run: Run, detector: Detector, photos: list[Path]) -> None:
    pictures = run.folder / "figures"
    pictures.mkdir(exist_ok=True)
    answers = {}
    for photo in track(photos, description="Detecting", console=people()):
        found = {name: DetectionArrays.from_tensors(one) for name, one in detector.every_exit(photo).items()}
        answers[photo.name] = {
            name: _rows(one, detector.class_map, config.score_threshold) for name, one in found.items()
        }
        picture = exit_strip(read_image(photo), found, detector.class_map.names, config.score_threshold)
        with atomic_path(pictures / f"{photo.name}.png") as path:
            picture.save(path, format="PNG")
    atomic_write_json(run.folder / "detections.json", answers)


def _rows(found: DetectionArrays, class_map: ClassMap, score_threshold: float) -> list[dict[str, object]]:
    return [
        {
            "class": class_map.name(int(label)),
            "score": round(float(score), 4),
            "box_xyxy_px": [round(float(v), 1) for v in box],
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        if score >= score_threshold
    ]


def main() -> None:
    """The command line."""
    run_verb("predict", PredictConfig, work)


if __name__ == "__main__":
    main()
