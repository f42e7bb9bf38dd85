"""`predict`: draws what each exit sees on anyone's photos or video."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.markup import escape
from rich.progress import track

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, PredictConfig
from cascade_exit.data import ClassMap, Video, read_image
from cascade_exit.evaluation import DetectionArrays
from cascade_exit.orchestration import run_verb
from cascade_exit.runs import Run, UserError, atomic_path, atomic_write_json, find_run
from cascade_exit.runtime import Detector
from cascade_exit.runtime.detector import model_fingerprint, model_id
from cascade_exit.runtime.loading import open_detector
from cascade_exit.visualization import exit_strip, write_video

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
Answer = dict[str, list[dict[str, object]]]


def work(config: PredictConfig, call: Call) -> Path:
    """Draws one picture per photo, or a video, and writes all detections as JSON."""
    root, source = Path(config.runs_root), Path(config.source).expanduser()
    filmed = source.is_file() and source.suffix.lower() in VIDEO_SUFFIXES
    video = Video.open(source) if filmed else None
    photos = [source] if video else find_photos(source)
    folder = find_run(config.run, root)
    detector = open_detector(folder, config.device)
    data = {"photos": _digest(photos), "model": model_fingerprint(folder)}
    with open_call(config, call, data, [model_id(folder)]) as run:
        pictures = run.folder / "figures"
        pictures.mkdir(exist_ok=True)
        if not run.finished:
            answered = _film(config, pictures, detector, video) if video else _draw(config, run, detector, photos)
            atomic_write_json(run.folder / "detections.json", dict(answered))
        count = sum(1 for _ in pictures.glob("*.png"))
        drawn = f"Video: {pictures / _film_name(video)}" if video else f"{count} picture(s) in {pictures}"
        people().print(drawn)
        for line in run.manifest.warnings:
            people().print(f"[yellow]Warning:[/] {escape(line)}")
    return run.folder


def find_photos(source: Path) -> list[Path]:
    """The photo, or all photos of the folder.

    Raises:
        UserError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"source={source}: no such photo, folder or video")
    photos = sorted(path for path in source.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise UserError(f"source={source}: no photo in this folder; it reads {', '.join(PHOTO_SUFFIXES)}")
    return photos


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as content:
            digest.update(path.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


def _draw(config: PredictConfig, run: Run, detector: Detector, photos: list[Path]) -> Iterator[tuple[str, Answer]]:
    """A picture per photo, and what was found by the photo's name; of many photos, broken ones are left out."""
    broken = 0
    for photo in track(photos, description="Detecting", console=people()):
        try:
            pixels = read_image(photo)
        except UserError as error:
            broken += 1
            if broken == len(photos):
                raise
            run.warn(f"left out: {error}")
            continue
        picture, answer = _look(config, detector, pixels)
        with atomic_path(run.folder / "figures" / f"{photo.name}.png") as path:
            picture.save(path, format="PNG")
        yield photo.name, answer


def _film(config: PredictConfig, pictures: Path, detector: Detector, video: Video) -> Iterator[tuple[str, Answer]]:
    """A video of all frames, and what was found by the frame's number."""
    with write_video(pictures / _film_name(video), video.rate) as add:
        frames = track(video.frames(), description="Detecting", total=video.count, console=people())
        for number, frame in enumerate(frames):
            picture, answer = _look(config, detector, frame)
            add(picture)
            yield f"{video.path.name}#{number}", answer


def _film_name(video: Video) -> str:
    return f"{video.path.name}.mp4"


def _look(config: PredictConfig, detector: Detector, photo: np.ndarray) -> tuple[Image.Image, Answer]:
    found = {name: DetectionArrays.from_tensors(one) for name, one in detector.every_exit(photo).items()}
    answer = {name: _rows(one, detector.class_map, config.score_threshold) for name, one in found.items()}
    return exit_strip(photo, found, detector.class_map.names, config.score_threshold), answer


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
