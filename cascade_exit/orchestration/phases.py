"""The phases of a pipeline: their command lines, which of them are done, and why the others must run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cascade_exit.config import PHASE_VERBS, Phase, PipelineSettings, read_job, takes
from cascade_exit.orchestration.job import Job
from cascade_exit.orchestration.ledger import LedgerRow
from cascade_exit.orchestration.lineage import changed_since
from cascade_exit.orchestration.standing import Standing, job_standing
from cascade_exit.runs import Manifest, SchemaError, closest, differences

StepState = Literal["done", "due", "running", "given", "left out"]
_PLACE = ("runs_root", "run_dir", "force")
_SHOWN_CHANGES = 2


@dataclass(frozen=True)
class Step:
    """How a phase stands.

    Attributes:
        name: of the phase.
        state: done; due; running in another process; given by start_from; or left out, since it lies before that.
        why: a phrase for people.
        run: its run, where it stands.
    """

    name: str
    state: StepState
    why: str
    run: Path | None = None


class Phases:
    """The phases of a pipeline with the words that they were given.

    Attributes:
        settings: the pipeline.
        words: of every phase, without those that name other phases' runs.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        words: Sequence[str] = (),
        runs_root: str = "runs",
        force: bool = False,
        earlier: Mapping[str, Manifest] | None = None,
    ) -> None:
        """Composes and validates every phase, the runs that it takes standing in by their phases' names.

        Args:
            settings: the pipeline.
            words: key=value words for the phases that have the key, or PHASE.key=value for one of them.
            runs_root: folder of all runs.
            force: run finished phases anew.
            earlier: by phase, the run that this pipeline came to last time.

        Raises:
            SchemaError: with every mistake, and the phase that makes it.
        """
        self.settings = settings
        self._root = Path(runs_root)
        self._place = (f"runs_root={_quoted(runs_root)}", *(["force=true"] if force else []))
        self._earlier = earlier or {}
        self.words = _words_by_phase(settings, words)
        lines = []
        for name in settings.phases:
            try:
                self.drafted(name)
            except SchemaError as error:
                lines += [f"phase {name}: {line}" for line in error.lines]
        if lines:
            raise SchemaError(lines)

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they run."""
        return tuple(self.settings.phases)

    def drafted(self, name: str) -> Job:
        """A phase with the names of other phases where it takes their runs."""
        return self.job(name, {source: source for source in self.settings.phases[name].sources})

    def job(self, name: str, runs: Mapping[str, str]) -> Job:
        """A phase with the runs that it takes, by their phases."""
        phase = self.settings.phases[name]
        links = [f"{key}={_reference(taken, runs)}" for key, taken in phase.takes.items()]
        words = (*self.words[name], *links, *self._place)
        return Job.of(phase.verb, words, read_job(phase.verb, PHASE_VERBS[phase.verb], words))

    def references(self, runs: Mapping[str, Path | None]) -> dict[str, str]:
        """What command lines call runs, by phase; those that are not there are left out."""
        return {name: self.reference(run) for name, run in runs.items() if run}

    def reference(self, run: Path) -> str:
        """What a command line calls a run: its id where it lies among all runs, else its folder."""
        return run.name.rsplit("-", 1)[-1] if run.parent.parent == self._root else str(run)

    def step(self, name: str, runs: Mapping[str, Path | None], rows: Mapping[str, LedgerRow]) -> Step:
        """How a phase stands.

        Args:
            name: of the phase.
            runs: the run of every phase before it; None where it would have to be made.
            rows: last rows of the ledger by job.
        """
        sources = self.settings.phases[name].sources
        missing = [source for source in sources if runs.get(source) is None]
        if missing:
            depends = f"depends on {' and '.join(missing)}, which would run"
            return Step(name, "due", "; ".join([*self._changes(name, self.drafted(name)), depends]))
        job = self.job(name, self.references(runs))
        standing = self.standing(name, runs, job, rows.get(job.id))
        if standing.state == "finished":
            return Step(name, "done", "done", standing.run)
        return Step(name, standing.state, standing.why, standing.run)

    def standing(self, name: str, runs: Mapping[str, Path | None], job: Job, row: LedgerRow | None) -> Standing:
        """How the job of a phase stands; see `job_standing`, to which the runs that it takes are added.

        Args:
            name: of the phase.
            runs: as for `step`.
            job: its command line.
            row: its last row in the ledger.
        """
        standing = job_standing(job, row)
        if standing.state == "due" and standing.manifest is None:
            return replace(
                standing, why="; ".join([*self._changes(name, job), *self._other_runs(name, job)]) or standing.why
            )
        if standing.state == "finished":
            assert standing.manifest is not None
            for source in self.settings.phases[name].sources:
                folder = runs[source]
                assert folder is not None
                if reason := changed_since(standing.manifest, folder):
                    return replace(standing, state="due", why=f"depends on {source}: {reason}")
        return standing

    def _changes(self, name: str, job: Job) -> list[str]:
        """Which settings are different from the run that this pipeline came to last time."""
        before = self._earlier.get(name)
        if before is None:
            return []
        links = self.settings.phases[name].takes
        changed = differences(before.identity, job.identity) or [
            change
            for change in differences(before.config, job.config)
            if change[0].split(".")[0] not in (*_PLACE, *links)
        ]
        if not changed:
            return []
        shown = ", ".join(f"{key} {then} -> {now}" for key, then, now in changed[:_SHOWN_CHANGES])
        more = len(changed) - _SHOWN_CHANGES
        return [f"settings changed: {shown}{f' and {more} more' if more > 0 else ''}"]

    def _other_runs(self, name: str, job: Job) -> list[str]:
        """Which phases have come to another run than the one that was taken last time."""
        before = self._earlier.get(name)
        if before is None:
            return []
        takes = self.settings.phases[name].takes
        others = [_names(taken) for key, taken in takes.items() if before.config.get(key) != job.config.get(key)]
        named = dict.fromkeys(source for names in others for source in names)
        return [f"depends on {' and '.join(named)}, of which there is another run now"] if named else []


def describe(name: str, phase: Phase) -> str:
    """`cascade (train experiment=phase1_chair)`."""
    return f"{name} ({' '.join([phase.verb, *phase.words[:1]])})"


def _words_by_phase(settings: PipelineSettings, words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    given = {name: {_key(word): word for word in phase.words} for name, phase in settings.phases.items()}
    lines = []
    for word in words:
        targets = _targets(settings, word)
        for name, own in targets.items():
            # The command line's word stands at the end, where a group that it chooses has been chosen before.
            given[name].pop(_key(own), None)
            given[name][_key(own)] = own
        if not targets:
            lines.append(_no_target(settings, word))
    if lines:
        raise SchemaError(lines)
    return {name: tuple(by_key.values()) for name, by_key in given.items()}


def _targets(settings: PipelineSettings, word: str) -> dict[str, str]:
    """The phases that an override is for, each with the override as the phase is given it."""
    prefix = word[: len(word) - len(word.lstrip("+~"))]
    head, _, rest = word.removeprefix(prefix).partition(".")
    if head in settings.phases and rest:
        return {head: prefix + rest}
    return {
        name: word
        for name, phase in settings.phases.items()
        if _key(word) not in phase.takes and takes(phase.verb, phase.words, word)
    }


def _no_target(settings: PipelineSettings, word: str) -> str:
    key = _key(word)
    if any(key in phase.takes for phase in settings.phases.values()):
        return f"{key}: phases take it from each other; start_from=RUN enters with a run of yours"
    told = [line for name in settings.phases for line in _refusal(settings.phases[name], word)]
    helpful = next((line for line in told if "did you mean" in line), None)
    own = closest(key, ("pipeline", "start_from", "dry_run", "runs_root", "run_dir", "force"))
    return f"{key}: unknown key{own}" if own or not helpful else helpful


def _refusal(phase: Phase, word: str) -> list[str]:
    try:
        read_job(phase.verb, PHASE_VERBS[phase.verb], (*phase.words, word))
    except SchemaError as error:
        return error.lines
    return []


def _key(word: str) -> str:
    return word.split("=", 1)[0].lstrip("+~")


def _names(taken: str | tuple[str, ...]) -> tuple[str, ...]:
    return (taken,) if isinstance(taken, str) else taken


def _reference(taken: str | tuple[str, ...], runs: Mapping[str, str]) -> str:
    if isinstance(taken, str):
        return _quoted(runs[taken])
    return f"[{','.join(_quoted(runs[name]) for name in taken)}]"


def _quoted(text: str) -> str:
    """Text as Hydra reads it back, whatever it holds."""
    return "'" + text.replace("'", "\\'") + "'"
