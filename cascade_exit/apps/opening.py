"""What every verb opens: the run that its command stands for, and the trained model that it works on."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cascade_exit.apps.console import people
from cascade_exit.config import Call, RunPlace
from cascade_exit.data import DataConfig
from cascade_exit.runs import Manifest, Run, UserError, build, find_run, open_run
from cascade_exit.runtime import Detector
from cascade_exit.runtime.detector import model_fingerprint, model_id
from cascade_exit.runtime.kept_model import DESCRIPTION
from cascade_exit.runtime.loading import open_detector
from cascade_exit.runtime.network import Backend
from cascade_exit.tracking import LoggerConfig


def open_call(
    config: RunPlace,
    call: Call,
    data: Mapping[str, str],
    parents: Sequence[str] = (),
    again: bool = False,
    wait: bool = False,
) -> AbstractContextManager[Run]:
    """Opens the run of a verb's call; see `open_run` for `data`, `parents` and `again`.

    With `wait`, another process that has it open is waited for: for what several commands need, and one of them makes.
    """
    return open_run(
        call.verb,
        config,
        command=call.command,
        overrides=call.overrides,
        data=data,
        parents=parents,
        root=Path(config.runs_root),
        run_dir=Path(config.run_dir) if config.run_dir else None,
        force=config.force,
        again=again,
        wait=wait,
        tell=partial(people().print, markup=False, highlight=False),
    )


@dataclass(frozen=True)
class TrainedModel:
    """A trained model and where it was found.

    Attributes:
        folder: of the run or kept model.
        id: the run's id, or the kept model's name.
        fingerprint: of its weights and settings.
        detector: ready to run.
    """

    folder: Path
    id: str
    fingerprint: str
    detector: Detector

    @classmethod
    def open(
        cls, reference: str, root: Path, device: str, backend: Backend | None = None, threads: int | None = None
    ) -> "TrainedModel":
        """Finds and reads a model.

        Args:
            reference: a run, a kept or an exported model.
            root: folder of all runs.
            device: where it runs.
            backend: what runs it; none: what suits it.
            threads: CPU threads of an exported model's backend.

        Raises:
            UserError: nothing is called so, it has no readable weights, or the backend cannot run it.
        """
        folder = find_run(reference, root)
        detector = open_detector(folder, device, backend, threads)
        return cls(folder, model_id(folder), model_fingerprint(folder), detector)

    def logger(self, asked: LoggerConfig | None) -> LoggerConfig:
        """The logger asked for, or the one of the training run; grouped with that run unless a group is asked for."""
        trained = LoggerConfig(group=self.id)
        if not (self.folder / DESCRIPTION).is_file():
            trained = build(LoggerConfig, Manifest.read(self.folder).config["logger"], "logger")
        return trained if asked is None else replace(asked, group=asked.group or trained.group)

    def data(self, asked: DataConfig | None) -> DataConfig:
        """The set asked for, or the one that the model was trained on, with the model's classes.

        Raises:
            UserError: none was asked for, and a kept model brings none.
        """
        if asked is None:
            if (self.folder / DESCRIPTION).is_file():
                raise UserError(
                    "data is not set: a kept or exported model brings no data; give data=coco data.root=DIR …"
                )
            asked = build(DataConfig, Manifest.read(self.folder).config["data"], "data")
        classes = self.detector.class_map.names
        rooms = replace(asked.rooms, classes=classes) if asked.rooms and asked.name == "rooms" else asked.rooms
        return replace(asked, classes=classes, rooms=rooms)
