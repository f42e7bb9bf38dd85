"""One phase, such as tracing or tuning, as one run of the logger."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger

from cascade_exit.runs import Run
from cascade_exit.tracking.artifacts import keep_outputs, use_inputs
from cascade_exit.tracking.config import LoggerConfig
from cascade_exit.tracking.loggers import finish_logger, make_logger


@contextmanager
def tracked(config: LoggerConfig, run: Run, inputs: Sequence[Path] = ()) -> Iterator[Logger]:
    """Make the logger of a run, say what the run reads and has made, and end it as the block ends.

    Args:
        config: Which logger.
        run: The open run.
        inputs: Folders of the runs and kept models that it reads.

    Yields:
        The logger; see ``make_logger`` for errors.
    """
    logger = make_logger(config, run)
    failed = True
    try:
        use_inputs(logger, run, inputs)
        yield logger
        keep_outputs(logger, run)
        failed = False
    finally:
        finish_logger(logger, exit_code=int(failed))
