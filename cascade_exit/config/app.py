"""Runs a verb: composes its configuration with Hydra, validates it, and turns errors into lines for people."""

import logging
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from cascade_exit.runs import SchemaError, UserError, build, closest

C = TypeVar("C")
CONFIG_PACKAGE = "cascade_exit.conf"
USAGE_ERROR = 2


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


def run_app(verb: str, schema: type[C], work: Callable[[C, Call], Path]) -> None:
    """Runs a verb with the process's command line; the last line on stdout is the run folder.

    Exits with 2 where the configuration is wrong, with 1 where the work cannot be done.

    Args:
        verb: names the primary config in `conf/`.
        schema: the dataclass that its values must fit.
        work: does it, and returns the run folder.
    """
    words = sys.argv[1:]
    call = Call(verb, " ".join(["cascade-exit", verb, *words]), tuple(w for w in words if not w.startswith("-")))
    if not any(word in words for word in ("-m", "--multirun", "--help", "--hydra-help", "--info")):
        _refuse_what_hydra_would(verb, call.overrides)

    def task(config: DictConfig) -> None:
        print(_run(config, schema, work, call))

    warnings.filterwarnings("ignore", message=".*Defaults list is missing `_self_`.*")
    hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_PACKAGE}", config_name=verb)(task)()


def compose(verb: str, overrides: list[str]) -> dict[str, Any]:
    """The plain values of a verb's configuration.

    Raises:
        HydraException: an override does not fit.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
        return _plain(hydra.compose(verb, overrides))


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
        _exit(_lines(error), USAGE_ERROR)
    try:
        return work(built, call)
    except UserError as error:
        _exit([str(error)], 1)


def _lines(error: Exception) -> list[str]:
    return error.lines if isinstance(error, SchemaError) else [str(error).strip().splitlines()[0]]


def _exit(lines: list[str], code: int) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in lines:
        console.print(f"[bold red]Error:[/] {_escaped(line)}")
    sys.exit(code)


def _escaped(line: str) -> str:
    return line.replace("[", r"\[")


def _refuse_what_hydra_would(verb: str, overrides: tuple[str, ...]) -> None:
    """Composes once beforehand: Hydra's own message about an unknown key names no close one."""
    try:
        compose(verb, list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: a group's name is a number
        _exit([_explain(error, verb, overrides)], USAGE_ERROR)


def _explain(error: Exception, verb: str, overrides: tuple[str, ...]) -> str:
    message = str(error).strip().splitlines()[0]
    if match := re.match(r"Could not override '([^']+)'", message):
        key = match[1]
        known = _keys(compose(verb, [word for word in overrides if word.split("=")[0].lstrip("+~") != key]))
        return f"{key}: unknown key{closest(key, known)}"
    if "Could not find" in message:
        choices = re.search(r"Available options in '([^']*)':\s*(.*)", str(error), re.DOTALL)
        asked = re.search(r"Could not find '([^']+)'", message)
        if choices and asked:
            options = [line.strip() for line in choices[2].splitlines() if line.strip()]
            name = asked[1].split("/")[-1]
            hint = closest(name, options)
            return f"{choices[1]}={name}: no such choice{hint}; there are {', '.join(options)}"
    return message


def _keys(values: Any, key: str = "") -> list[str]:
    if not isinstance(values, dict):
        return [key]
    return [key, *(found for name, item in values.items() for found in _keys(item, f"{key}.{name}" if key else name))]
