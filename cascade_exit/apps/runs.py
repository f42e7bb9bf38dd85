"""`runs`: all runs, or where one comes from and what came of it."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cascade_exit.apps.console import FILE_WIDTH
from cascade_exit.config import Call, RunsConfig
from cascade_exit.orchestration import KnownRun, Lineage, lineage_tree, list_table, run_verb
from cascade_exit.runs import find_run, git_state


def work(config: RunsConfig, call: Call) -> Path:
    """Prints to stdout: here the table is what was asked for."""
    root = Path(config.runs_root)
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH, highlight=False)
    lineage = Lineage(root, git_state())
    folder = find_run(config.run, root) if config.run else None
    if folder:
        console.print(lineage_tree(lineage, KnownRun.read(folder)))
    else:
        console.print(list_table(lineage, root))
    for line in lineage.broken:
        console.print(f"[red]Broken:[/] {escape(line)}", soft_wrap=True)
    return folder or root


def main() -> None:
    """The command line."""
    run_verb("runs", RunsConfig, work)


if __name__ == "__main__":
    main()
