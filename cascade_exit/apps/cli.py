"""The console command: `cascade-exit VERB key=value …`."""

import importlib
import sys

from cascade_exit.runs import closest

VERBS = {
    "train": "train a detector, or go on with one that was killed",
    "trace": "keep what every exit says of every image of a split, for policies",
    "tune": "find where to stop early, from the trace of the calibrate role",
    "evaluate": "measure every exit of a trained detector on a set",
    "predict": "draw what each exit sees on your photos or video",
    "benchmark": "time a cascade with its policy beside static models, on any engine",
    "export": "keep a trained detector as models/<name>, or write it as graphs for other engines",
    "report": "show runs side by side, in one HTML page",
    "search": "look for the best settings, over many runs",
    "describe": "show a data set, and what each exit of a model costs",
    "dashboard": "save a W&B workspace with the panels that matter",
    "pipeline": "run phases one after the other, each from the runs before it, and only what is missing",
    "runs": "list runs, or show where one comes from; say which are stale, and why",
}


def main() -> None:
    """Calls the verb named first."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: cascade-exit VERB key=value …\n")
        print("\n".join(f"  {verb:<10} {what}" for verb, what in VERBS.items()))
        print("\nEach verb lists its settings with --help.")
        return
    verb = sys.argv.pop(1)
    if verb not in VERBS:
        sys.exit(f"Error: {verb}: no such verb{closest(verb, VERBS)}; there are {', '.join(VERBS)}")
    app = importlib.import_module(f"cascade_exit.apps.{verb}")
    # Lightning starts the further processes of a distributed run with this process's command line.
    sys.argv[0] = str(app.__file__)
    app.main()
