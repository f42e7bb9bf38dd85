"""A search ends with what its runs' manifests say, and loses no trial."""

import io
import os
import signal
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from cascade_exit.orchestration import Job, LaunchConfig, Search, SearchConfig, remote, search_folder
from cascade_exit.orchestration import search as search_module
from cascade_exit.orchestration import slurm as slurm_module
from cascade_exit.orchestration.executors import open_executor
from cascade_exit.orchestration.search_settings import ObjectiveConfig, ParameterConfig, PrunerConfig, SamplerConfig
from cascade_exit.orchestration.study import Study
from cascade_exit.orchestration.view import View
from cascade_exit.runs import Manifest, UserError, build, hold_lock
from tests.conftest import REPOSITORY
from tests.orchestration.fake_slurm import slurm  # noqa: F401
from tests.orchestration.stub import stub_settings
from tests.orchestration.test_clusters import SETTINGS as CLUSTERS

AP, MACS = ObjectiveConfig("exits.full.AP"), ObjectiveConfig("exits.exit1.macs", "minimize")


class Bench:
    """Searches on a desk; see the sweeps' bench."""

    def __init__(self, bench) -> None:
        self.root, self.starts, self.when, self.command = bench.root, bench.starts, bench.when, bench.command

    def config(self, space: dict[str, tuple], **more) -> SearchConfig:
        given = {
            "name": "try",
            "base": {"desk": str(self.root)},
            "runs_root": str(self.root / "runs"),
            "searches_root": str(self.root / "searches"),
            "space": {key: ParameterConfig("categorical", choices=choices) for key, choices in space.items()},
            "objectives": (AP,),
            "trials": 4,
            "sampler": SamplerConfig("random"),
        }
        return SearchConfig(**(given | more))

    def search(self, config: SearchConfig, through=None, **settings) -> int:
        """Runs a search; gives its exit code."""
        names: dict[str, str] = {}
        console = Console(file=io.StringIO(), width=300)
        with View(console, names) as view:
            search = Search(
                config,
                LaunchConfig(**settings),
                search_folder(config),
                view,
                names,
                self.job,
                through,
                command=self.command,
            )
            code = search.run()
        self.said, self.study = console.file.getvalue(), search.study
        return code

    @staticmethod
    def job(words: tuple[str, ...]) -> Job:
        return Job("train", words, *stub_settings(words))

    @property
    def states(self) -> list[str]:
        return [row.state for row in self.study.rows()]


@pytest.fixture
def desk(bench) -> Bench:
    return Bench(bench)


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(search_module, "READ_SECONDS", 0.05)
    monkeypatch.setattr(search_module, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr("cascade_exit.orchestration.sweep.READ_SECONDS", 0.05)


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_trials_are_runs_and_the_same_search_goes_on(desk, storage):
    config = desk.config({"number": (1, 2)}, objectives=(MACS,), storage=storage, trials=2)
    assert desk.search(config, parallel=2) == 0
    assert desk.search(replace(config, trials=5), parallel=2) == 0
    assert desk.states == ["complete"] * 5
    # Two configurations in all: others were taken from their manifests.
    assert [len(desk.starts(n)) for n in (1, 2)] == [1, 1]
    for row in desk.study.rows():
        assert row.values == (1e6 * row.parameters["number"],)
        assert Manifest.read(desk.root / row.run).identity["number"] == row.parameters["number"]
    [best] = desk.study.best()
    assert desk.study.rows()[best].parameters == {"number": 1}
    # What a trial is drawn from is its number, not how often the search was called.
    again = desk.config({"number": (1, 2)}, objectives=(MACS,), trials=5, name="again")
    desk.search(again)
    whole = [row.parameters for row in desk.study.rows()]
    desk.search(replace(config, trials=5))
    assert [row.parameters for row in desk.study.rows()] == whole


def test_trials_that_a_killed_process_left_are_continued(desk):
    config = desk.config({"number": (1, 2, 3, 4)}, trials=3)
    folder = search_folder(config)
    folder.mkdir(parents=True)
    lost = Study(config, folder, "worker-0")
    _, parameters = lost.next()
    lost._study.ask()  # killed before anything was drawn
    assert desk.search(config) == 0
    assert desk.states == ["complete"] * 3
    assert desk.study.rows()[0].parameters == parameters


def test_interrupted_trials_go_on_from_their_runs(desk):
    config = desk.config({"number": (1,)}, base={"desk": str(desk.root), "wait": True}, trials=1)
    desk.when("working-1", then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert desk.search(config) == 128 + signal.SIGTERM
    assert desk.states == ["running"]
    (desk.root / "go").touch()
    assert desk.search(config) == 0
    [row] = desk.study.rows()
    assert (row.state, Manifest.read(desk.root / row.run).tries) == ("complete", 2)


def test_trials_of_a_process_that_lives_are_left_to_it(desk):
    config = desk.config({"number": (1, 2, 3, 4)}, trials=3)
    other = search_folder(config) / "worker-0"
    other.mkdir(parents=True)
    with hold_lock(other):
        Study(config, other.parent, "worker-0").next()
        assert desk.search(config) == 0
        assert desk.states == ["running", "complete", "complete"]
    assert (other.parent / "worker-1" / "sweep.jsonl").exists()
    assert desk.search(config) == 0
    assert desk.states == ["complete"] * 3


def test_a_trial_below_the_median_is_given_up(desk):
    pruner = PrunerConfig("median", startup_trials=1, warmup_epochs=0)
    space = {"score": (0.9, 0.1)}
    base = {"desk": str(desk.root), "epochs": 40, "pace": 0.05}
    seed = next(seed for seed in range(99) if drawn(desk, space, seed) == [0.9, 0.1])
    config = desk.config(space, pruner=pruner, base=base, trials=2, sampler=SamplerConfig("random", seed))
    assert desk.search(config) == 0
    assert desk.states == ["complete", "pruned"]
    run = desk.root / desk.study.rows()[1].run
    assert Manifest.read(run).state == "interrupted"
    assert len((run / "metrics.jsonl").read_text().splitlines()) < 40
    assert "given up: below the median" in desk.said


def drawn(desk, space, seed) -> list[float]:
    config = desk.config(space, trials=2, sampler=SamplerConfig("random", seed), name=f"draw-{seed}")
    folder = search_folder(config)
    folder.mkdir(parents=True)
    study = Study(config, folder, "worker-0")
    return [study.next()[1]["score"] for _ in range(2)]


def test_failed_trials_are_told_so_and_the_search_goes_on(desk):
    config = desk.config({"score": (0.5, 2.0), "failures": (0, 1)}, trials=8)
    assert desk.search(config) == 0
    for row in desk.study.rows():
        wrong = row.parameters["score"] == 2.0
        if wrong:
            assert (row.state, row.error) == ("failed", "score must be at most 1, got 2.0")
        elif row.state == "failed":
            assert (row.parameters["failures"], row.error) == (1, "RuntimeError: no luck in try 1")
    assert {"complete", "failed"} == set(desk.states)


def test_an_objective_that_runs_do_not_have_is_named(desk):
    config = desk.config({"number": (1,)}, objectives=(ObjectiveConfig("exits.ful.AP"),))
    with pytest.raises(
        UserError, match=r"objective exits.ful.AP: run .* has no such figure \(did you mean 'exits.full.AP'\?\)"
    ):
        desk.search(config)


def test_the_front_is_what_no_trial_beats(desk):
    numbers = tuple(range(1, 9))
    config = desk.config({"number": numbers}, objectives=(AP, MACS), trials=8)
    folder = search_folder(config)
    folder.mkdir(parents=True)
    study = Study(config, folder, "worker-0")
    points = [(0.3, 5.0), (0.5, 9.0), (0.3, 4.0), (0.1, 1.0), (0.5, 9.0), (0.2, 4.0), (0.05, 2.0), (0.4, 9.0)]
    for point in points:
        study.complete(study.next()[0], point, "runs/train/x")
    assert study.best() == [1, 2, 3, 4]


def test_spaces_and_their_corners():
    space = {
        "a": ParameterConfig("int", low=8.0, high=24.0, step=8.0),
        "b": ParameterConfig("categorical", choices=("x", None, True)),
        "c.d": ParameterConfig("float", low=1e-4, high=1e-2, log=True),
    }
    config = SearchConfig(name="s", space=space, objectives=(AP,), trials=1, base={"data": {"root": "r"}, "k": [1, 2]})
    corners = [config.words(corner) for corner in config.corners()]
    assert len(set(corners)) == 2 * 3 * 2
    assert ("data.root=r", "k=[1,2]", "a=24", "b=null", "c.d=0.0001") in corners
    many = replace(config, space={f"k{n}": ParameterConfig("float", low=0.0, high=1.0) for n in range(8)})
    assert len(many.corners()) == 1 + 8 + 1  # the first, one key at a time, the last


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"pruner": {"name": "median"}}, "pruner.name must be none with 2 objectives"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"space": {"a": {"type": "int", "low": 4, "high": 2}}}, "space.a: low and high must be given, low below high"),
        ({"space": {"a": {"type": "int", "low": 0.5, "high": 2}}}, "space.a: low, high and step must be whole numbers"),
        ({"space": {"a": {"type": "categorical"}}}, "space.a: choices must be given"),
        ({"space": {"a": {"type": "flat"}}}, "space.a.type: input should be 'float', 'int' or 'categorical'"),
        ({"objectives": [{"metric": "x", "metrik": "y"}]}, "objectives.0.metrik: unknown key (did you mean 'metric'?)"),
    ],
)
def test_mistakes_are_named(wrong, line):
    right = {
        "name": "s",
        "trials": 1,
        "space": {"a": {"type": "int", "low": 1, "high": 2}},
        "objectives": [{"metric": "x"}, {"metric": "y"}],
    }
    with pytest.raises(UserError) as error:
        build(SearchConfig, right | wrong)
    assert line in str(error.value)


@pytest.mark.parametrize("name", ["chair_exits", "rooms_exits"])
def test_shipped_spaces_compose_at_their_corners(cli, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("search", f"search={name}", "dry_run=true")
    assert answer.code == 0, answer.err
    assert "corners of the space are valid" in answer.err
    assert answer.out.startswith(f"searches/{name}-")
    assert not any(tmp_path.iterdir())


def test_a_corner_that_is_wrong_stops_the_search(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("search", "search=rooms_exits", "+base.model.exits.exit1.depth=0")
    assert answer.code == 2
    assert answer.errors == ["all 8 jobs: model.exits.exit1: depth must be between 1 and 8, got 0"]
    assert not any(tmp_path.iterdir())


def test_without_optuna(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"search needs Optuna: pip install 'cascade_exit\[search\]'"):
        desk.search(desk.config({"number": (1,)}))


def test_trials_through_slurm_and_again(desk, slurm, monkeypatch):  # noqa: F811
    """Trials are handed in as a sweep's jobs are; those that wait when the terminal closes are taken up again."""
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(slurm_module, "QUEUE_SECONDS", 0.1)
    config = desk.config({"number": tuple(range(100))}, trials=3, objectives=(MACS,))
    folder = search_folder(config)
    slurm.hold()

    def hang_up() -> None:
        slurm.wait_for(2)
        os.kill(os.getpid(), signal.SIGHUP)

    def search() -> int:
        with open_executor(LaunchConfig(executor="slurm"), folder) as executor:
            return desk.search(config, through=executor, executor="slurm", parallel=2)

    desk.when(then=hang_up)
    assert search() == 128 + signal.SIGHUP
    assert (desk.states, slurm.cancelled) == (["running", "running"], [])
    (slurm.root / "open").touch()
    desk.when(then=lambda: [slurm.begin("1000"), slurm.begin("1001")])
    assert search() == 0
    assert desk.states == ["complete"] * 3
    for row in desk.study.rows():
        assert row.values == (Manifest.read(desk.root / row.run).metrics["exits"]["exit1"]["macs"],)
    assert len(slurm.scripts) == 3  # none was handed in twice
    assert [len(desk.starts(row.parameters["number"])) for row in desk.study.rows()] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_trials_on_a_cluster_of_this_machine(desk, cluster, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    config = desk.config({"number": (1, 2)}, trials=3, objectives=(MACS,))
    with open_executor(LaunchConfig(**CLUSTERS[cluster]), search_folder(config)) as executor:
        assert desk.search(config, through=executor, parallel=2, **CLUSTERS[cluster]) == 0
    assert desk.states == ["complete"] * 3
    assert [row.values for row in desk.study.rows()] == [(1e6 * r.parameters["number"],) for r in desk.study.rows()]
