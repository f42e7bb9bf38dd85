"""Runs a verb: composes its configuration with Hydra, validates it, and turns errors into lines for people."""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, cast

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from cascade_exit.runs import SchemaError, UserError, build, closest

C = TypeVar("C")
CONFIG_PACKAGE = "cascade_exit.conf"
USAGE_ERROR = 2
INTERRUPTED = 130  # as shells have it after Ctrl-C
_LAUNCHER = "hydra.launcher."


@dataclass(frozen=True)
class Call:
    """How a verb was called.

    Attributes:
        verb: such as train.
        command: the whole command line.
        overrides: its key=value words.
    """

    verb: str
    command: str
    overrides: tuple[str, ...]

    def choice(self, group: str) -> str | None:
        """What was chosen of a group of configurations on the command line."""
        chosen = [word.split("=", 1)[1] for word in self.overrides if word.lstrip("+").startswith(f"{group}=")]
        return chosen[-1] if chosen else None


def run_app(verb: str, schema: type[C], work: Callable[[C, Call], Path]) -> None:
    """Runs a verb with the process's command line; the last line on stdout is the run folder.

    Exits with 2 where the configuration is wrong, with 1 where the work cannot be done, with 130 after Ctrl-C.

    Args:
        verb: names the primary config in `conf/`.
        schema: the dataclass that its values must fit.
        work: does it, and returns the run folder.
    """
    words = sys.argv[1:]
    call = Call(verb, " ".join(["cascade-exit", verb, *words]), tuple(w for w in words if not w.startswith("-")))
    warnings.filterwarnings("ignore", message=".*Defaults list is missing `_self_`.*")
    if not any(word in words for word in ("--help", "--hydra-help", "--info")):
        try:
            if any(word in words for word in ("-m", "--multirun")):
                read_jobs(verb, schema, split_into_jobs(verb, call.overrides))
            else:
                _composed(verb, call.overrides)  # beforehand, for its refusal
        except SchemaError as error:
            refuse(error.lines)
    task = Task(schema, work, call)
    hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_PACKAGE}", config_name=verb)(task)()


@dataclass(frozen=True)
class Task(Generic[C]):
    """A verb as Hydra calls it; a launcher reads its call and schema.

    Attributes:
        schema: the dataclass that the values must fit.
        work: does it, and returns the run folder.
        call: how the verb was called.
    """

    schema: type[C]
    work: Callable[[C, Call], Path]
    call: Call

    def __call__(self, config: DictConfig) -> None:
        """Does the work, and prints the run folder."""
        print(_run(config, self.schema, self.work, self.call))


def compose(verb: str, overrides: list[str]) -> dict[str, Any]:
    """The plain values of a verb's configuration.

    Raises:
        HydraException: an override does not fit.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
        return _plain(hydra.compose(verb, overrides))


def takes(verb: str, overrides: Sequence[str], word: str) -> bool:
    """Whether a verb has the key or group of an override; whether its value is right is told when it is read.

    Args:
        verb: such as train.
        overrides: key=value words that come before it.
        word: the override.
    """
    try:
        compose(verb, [*overrides, word])
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return not str(error).startswith("Could not override")
    return True


def _plain(config: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in _without_missing(values).items()}


def _without_missing(values: Any) -> Any:
    """Leaves out `???`, so that validation names the key together with all other mistakes."""
    if isinstance(values, dict):
        return {key: _without_missing(value) for key, value in values.items() if value != "???"}
    return values


def _run(config: DictConfig, schema: type[C], work: Callable[[C, Call], Path], call: Call) -> Path:
    # Lightning announces devices and tips on every start; a warning still shows.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        built = build(schema, _plain(config))
    except (UserError, OmegaConfBaseException) as error:
        refuse(_lines(error))
    try:
        return work(built, call)
    except UserError as error:
        refuse([str(error)], 1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _lines(error: Exception) -> list[str]:
    return error.lines if isinstance(error, SchemaError) else [str(error).strip().splitlines()[0]]


def refuse(lines: Sequence[str], code: int = USAGE_ERROR) -> NoReturn:
    """Ends the program with lines that say what is wrong."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in lines:
        console.print(f"[bold red]Error:[/] {_escaped(line)}")
    sys.exit(code)


def _escaped(line: str) -> str:
    return line.replace("[", r"\[")


def _composed(verb: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Composes, with a refusal of our own: Hydra's message about an unknown key names no close one."""
    try:
        return compose(verb, list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: a group's name is a number
        raise SchemaError([_explain(error, verb, overrides)]) from None


def split_into_jobs(verb: str, overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of each job of a sweep, as Hydra's sweeper would split them; those of Hydra itself are checked.

    Raises:
        SchemaError: an override cannot be read, or one of Hydra itself is unknown.
    """
    try:
        GlobalHydra.instance().clear()
        with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
            ours = [override for override in parsed if not override.is_hydra_override()]
            jobs = BasicSweeper.split_arguments(ours, None)[0]
        compose(verb, [str(override.input_line) for override in parsed if override.is_hydra_override()])
    except (HydraException, OmegaConfBaseException) as error:
        raise SchemaError([_explain(error, verb, overrides)]) from None
    return [tuple(job) for job in jobs]


def read_jobs(verb: str, schema: type[C], jobs: Sequence[tuple[str, ...]]) -> list[C]:
    """The validated configuration of each job.

    Raises:
        SchemaError: with every mistake, and the jobs that make it.
    """
    built: list[C] = []
    wrong: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        try:
            built.append(read_job(verb, schema, job))
        except SchemaError as error:
            for line in error.lines:
                wrong.setdefault(line, []).append(index)
    if wrong:
        raise SchemaError([f"{_named(jobs, at)}: {line}" for line, at in wrong.items()])
    return built


def read_job(verb: str, schema: type[C], job: tuple[str, ...]) -> C:
    """The validated configuration that a verb's overrides make.

    Raises:
        SchemaError: with every mistake.
    """
    built: C = _read_job(verb, cast(Any, schema), job)  # a class is hashable, whatever mypy thinks
    return built


@cache  # checked before Hydra starts, read again by the launcher
def _read_job(verb: str, schema: Any, job: tuple[str, ...]) -> Any:
    return build(schema, _composed(verb, job))


def _named(jobs: Sequence[tuple[str, ...]], at: list[int]) -> str:
    if len(at) == len(jobs) > 1:
        return f"all {len(jobs)} jobs"
    numbers = ", ".join(str(index + 1) for index in at)
    others = "" if len(at) == 1 else "first of them: "
    return f"job{'s' if others else ''} {numbers} of {len(jobs)} ({others}{' '.join(jobs[at[0]])})"


def _explain(error: Exception, verb: str, overrides: Sequence[str]) -> str:
    message = str(error).strip().splitlines()[0]
    if match := re.match(r"Could not override '([^']+)'", message):
        key = match[1]
        if key.startswith(_LAUNCHER):
            known = _keys(_launcher_settings(verb), _LAUNCHER.rstrip("."))
        else:
            # Other words may be wrong, too: they get their turn when this one is right.
            fitting: list[str] = []
            for word in overrides:
                fitting += [word] if takes(verb, fitting, word) else []
            group = key.partition(".")[0]
            if group in _open_choices(verb, fitting):
                return f"{key}: no {group} is chosen that it could change: add {group}=NAME"
            known = _keys(compose(verb, fitting))
        return f"{key}: unknown key{closest(key, known)}"
    if "Could not find" in message:
        choices = re.search(r"Available options in '([^']*)':\s*(.*)", str(error), re.DOTALL)
        asked = re.search(r"Could not find '([^']+)'", message)
        if choices and asked:
            listed = choices[2].partition("Config search path:")[0]
            options = [line.strip() for line in listed.splitlines() if line.strip()]
            name = asked[1].split("/")[-1]
            hint = closest(name, options)
            return f"{choices[1]}={name}: no such choice{hint}; there are {', '.join(options)}"
    return message


def _open_choices(verb: str, overrides: list[str]) -> set[str]:
    """Groups of which nothing is chosen."""
    with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
        choices = hydra.compose(verb, overrides, return_hydra_config=True).hydra.runtime.choices
        return {group for group, choice in choices.items() if choice is None or choice == "null"}


def _launcher_settings(verb: str) -> Any:
    with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
        return OmegaConf.to_container(hydra.compose(verb, return_hydra_config=True).hydra.launcher)


def _keys(values: Any, key: str = "") -> list[str]:
    if not isinstance(values, dict):
        return [key]
    return [key, *(found for name, item in values.items() for found in _keys(item, f"{key}.{name}" if key else name))]
