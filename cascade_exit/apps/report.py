"""`report`: one HTML page that shows runs side by side and opens without a network."""

from collections.abc import Sequence
from pathlib import Path

from cascade_exit.apps.console import people
from cascade_exit.apps.opening import open_call
from cascade_exit.config import Call, ReportConfig
from cascade_exit.orchestration import run_verb
from cascade_exit.report.page import ReportedRun, read_reported, render_page
from cascade_exit.runs import atomic_write_text, build, find_run, utc_now
from cascade_exit.tracking import LoggerConfig, tracked

PAGE = "report.html"


def work(config: ReportConfig, call: Call) -> Path:
    """Writes the page, unless it is there for these runs as they stand."""
    console, root = people(), Path(config.runs_root)
    runs = _read(config, root)
    fingerprints = {f"run {run.id}": run.fingerprint() for run in runs}
    with open_call(config, call, fingerprints, [run.id for run in runs]) as run:
        if not run.finished:
            made = f"Made by {run.manifest.command}, run {run.id}, {utc_now()}"
            with tracked(config.logger or _logger_of(runs), run, [each.folder for each in runs]):
                atomic_write_text(run.folder / PAGE, render_page(runs, root, config.pictures, made))
                run.manifest.metrics["runs"] = len(runs)
    for unfinished in (each for each in runs if not each.finished):
        console.print(f"[yellow]Not finished:[/] {unfinished.folder} ({unfinished.state})", highlight=False)
    size = (run.folder / PAGE).stat().st_size
    console.print(f"Page: {run.folder / PAGE} ({size / 1e6:.1f} MB)", highlight=False)
    return run.folder


def _read(config: ReportConfig, root: Path) -> list[ReportedRun]:
    """All runs asked for, in order; one that is named twice is shown once."""
    folders = dict.fromkeys(find_run(reference, root).resolve() for reference in config.runs)
    return list({run.id: run for run in map(read_reported, folders)}.values())


def _logger_of(runs: Sequence[ReportedRun]) -> LoggerConfig:
    """The logger of the first run that has one."""
    settings = (run.config["logger"] for run in runs if run.config.get("logger"))
    return build(LoggerConfig, next(settings, {}), "logger")


def main() -> None:
    """The command line."""
    run_verb("report", ReportConfig, work)


if __name__ == "__main__":
    main()
