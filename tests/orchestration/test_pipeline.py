"""A pipeline runs what is missing and nothing else, however it was interrupted and whatever was changed."""

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cascade_exit.apps import pipeline as app
from cascade_exit.config import PHASE_VERBS, Call, Phase, PipelineConfig, PipelineSettings, RunPlace
from cascade_exit.config import app as config_app
from cascade_exit.orchestration import pipeline as pipeline_module
from cascade_exit.orchestration import sweep as sweep_module
from cascade_exit.runs import Manifest, UserError, find_run, hold_lock
from cascade_exit.runs import run as run_module
from tests.orchestration import phase_stub


@dataclass(frozen=True)
class Learn(phase_stub.Learn, RunPlace):
    """As the processes have it, which do without the imports of `config`."""


@dataclass(frozen=True)
class Weigh(phase_stub.Weigh, RunPlace):
    """Likewise."""


NAMES = ("static", "cascade", "tune", "evaluate")


class Line:
    """A pipeline of four phases on a desk of its own, and what was started for it."""

    def __init__(self, capsys) -> None:
        # Relative, so that all tests give the same words, which are composed once.
        self.root, self.runs, self._capsys = Path(), Path("runs"), capsys
        self.folder: Path | None = None
        self.phases = {
            "static": Phase("learn", (*self._words("static"), "number=1")),
            "cascade": Phase("learn", (*self._words("cascade"), "number=2"), {"run": "static"}),
            "tune": Phase("weigh", (*self._words("tune"), "number=3"), {"run": "cascade", "others": ("static",)}),
            "evaluate": Phase("weigh", (*self._words("evaluate"), "number=4"), {"run": "tune"}),
        }

    def _words(self, name: str) -> tuple[str, ...]:
        return (f"name={name}",)

    def __call__(self, *words: str, **settings) -> tuple[dict[str, int], str]:
        """Runs it; how often each phase was started in this call, and what was said."""
        before = self.starts()
        config = PipelineConfig(
            pipeline=PipelineSettings("stubs", self.phases), words=words, runs_root=str(self.runs), **settings
        )
        self.folder = app.work(config, Call("pipeline", "cascade-exit pipeline", ("pipeline=stubs",)))
        return {name: now - before[name] for name, now in self.starts().items()}, self._capsys.readouterr().err

    def starts(self) -> dict[str, int]:
        notes = {name: self.root / f"started-{name}" for name in NAMES}
        return {name: len(note.read_text().split()) if note.exists() else 0 for name, note in notes.items()}

    def pids(self, name: str) -> list[int]:
        return [int(word) for word in (self.root / f"started-{name}").read_text().split()]

    def manifests(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.runs.glob("[lw]*/*/manifest.json")}

    def record(self) -> Manifest:
        return Manifest.read(self.folder if self.folder else next(self.runs.glob("pipeline/*/manifest.json")).parent)

    def run(self, name: str) -> Path:
        return find_run(self.record().metrics["phases"][name], self.runs)

    def when_working(self, name: str, then) -> None:
        def watch() -> None:
            end = time.monotonic() + 60
            while not (self.root / f"working-{name}").exists() and time.monotonic() < end:
                time.sleep(0.02)
            then()

        threading.Thread(target=watch, daemon=True).start()


@pytest.fixture
def line(tmp_path, monkeypatch, capsys) -> Line:
    monkeypatch.chdir(tmp_path)
    for verb, schema in (("learn", Learn), ("weigh", Weigh)):
        monkeypatch.setitem(PHASE_VERBS, verb, schema)
    monkeypatch.setattr(config_app, "CONFIG_PACKAGE", "tests.orchestration.stub_conf")
    monkeypatch.setattr(run_module, "git_state", lambda: None)  # seconds on a busy machine
    monkeypatch.setattr(sweep_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(pipeline_module, "command_of", lambda job: phase_stub.command_of(job.verb, job.overrides))
    return Line(capsys)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A place for the runs that `done` starts from."""
    return tmp_path_factory.mktemp("done")


@pytest.fixture
def done(line, template) -> Line:
    """A pipeline that has run; it runs once for all tests."""
    if any(template.iterdir()):
        shutil.copytree(template, Path(), dirs_exist_ok=True)
        line.folder = next(line.runs.glob("pipeline/*/manifest.json")).parent
    else:
        line()
        shutil.copytree(Path(), template, dirs_exist_ok=True)
    return line


def started(*names: str) -> dict[str, int]:
    return {name: int(name in names) for name in NAMES}


def why(said: str, name: str) -> str:
    """The row of a phase in the table of a dry run, blanks joined."""
    return " ".join(next(row for row in said.splitlines() if row.startswith(f"│ {name} ")).split())


def test_each_phase_once_with_its_parents_and_never_again(done):
    assert done.starts() == started(*NAMES)
    ids = done.record().metrics["phases"]
    parents = {name: Manifest.read(done.run(name)).parents for name in NAMES}
    assert parents == {
        "static": [],
        "cascade": [ids["static"]],
        "tune": [ids["cascade"], ids["static"]],
        "evaluate": [ids["tune"]],
    }
    assert (done.run("evaluate") / "result").read_text() == "(4 (3 (2 (1 ))(1 )))"
    before, record = done.manifests(), done.record()
    assert done()[0] == started()
    assert (done.manifests(), done.record()) == (before, record)
    # Nor when the record itself is gone: the runs say that they are done.
    shutil.rmtree(done.folder)
    assert done()[0] == started()
    assert done.manifests() == before


def test_a_changed_setting_reruns_what_it_touches_and_what_depends_on_it(done):
    before = done.manifests()
    count, said = done("tune.number=30", dry_run=True)
    assert count == started()
    assert "2 of 4 phases would run" in said
    assert "│ no │ done │" in why(said, "cascade")
    assert "│ yes │ settings changed: number 3 -> 30 │" in why(said, "tune")
    assert "│ yes │ depends on tune, which would run │" in why(said, "evaluate")
    assert done("tune.number=30")[0] == started("tune", "evaluate")
    assert before.items() <= done.manifests().items()
    assert done("cascade.number=20", "tune.number=30")[0] == started("cascade", "tune", "evaluate")
    # What was there before is still there.
    assert done()[0] == done("tune.number=30")[0] == started()


def test_a_phase_that_fails_stops_the_pipeline_and_the_same_command_goes_on(line):
    with pytest.raises(UserError) as told:
        line("tune.failures=1")
    assert line.starts() == started("static", "cascade", "tune")
    message = str(told.value)
    assert message.startswith("phase tune failed: RuntimeError: no luck (log: ")
    assert "\n" not in message
    log = Path(message.split("(log: ")[1].split(")")[0])
    assert "Traceback (most recent call last)" in log.read_text()
    assert (line.record().state, line.record().error) == ("failed", f"UserError: {message}")
    count, said = line("tune.failures=1", dry_run=True)
    assert "failed: RuntimeError: no luck" in why(said, "tune")
    assert line("tune.failures=1")[0] == started("tune", "evaluate")
    assert line.record().state == "finished"
    assert Manifest.read(line.run("tune")).tries == 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_the_phase_and_goes_on_next_time(line, signum):
    line.when_working("cascade", lambda: os.kill(os.getpid(), signum))
    with pytest.raises(SystemExit) as ended:
        line("cascade.wait=true")
    assert ended.value.code == 128 + signum
    assert not Path(f"/proc/{line.pids('cascade')[0]}").exists()
    assert line.record().state == "interrupted"
    (line.root / "go").touch()
    count, said = line("cascade.wait=true", dry_run=True)
    assert "was interrupted" in why(said, "cascade")
    assert line("cascade.wait=true")[0] == started("cascade", "tune", "evaluate")
    assert Manifest.read(line.run("cascade")).tries == 2
    assert Manifest.read(line.run("static")).tries == 1


def test_a_phase_killed_with_9_goes_on(line):
    line.when_working("cascade", lambda: os.kill(line.pids("cascade")[0], signal.SIGKILL))
    with pytest.raises(UserError, match="phase cascade failed: killed by SIGKILL"):
        line("cascade.wait=true")
    (line.root / "go").touch()
    assert line("cascade.wait=true")[0] == started("cascade", "tune", "evaluate")


def test_a_phase_that_outlived_its_pipeline_is_not_started_twice(line):
    """As after kill -9 of the pipeline alone."""
    words = (*line.phases["static"].words, "wait=true")
    orphan = subprocess.Popen(phase_stub.command_of("learn", words), stdout=subprocess.DEVNULL)
    try:
        while not (line.root / "working-static").exists():
            time.sleep(0.02)
        with pytest.raises(UserError, match=r"phase static: .* is open in another process: wait until that ends"):
            line("static.wait=true")
    finally:
        (line.root / "go").touch()
        assert orphan.wait(60) == 0
    assert line("static.wait=true")[0] == started("cascade", "tune", "evaluate")


def test_the_same_pipeline_twice_at_once_is_refused(line):
    refused = []

    def second() -> None:
        try:
            with hold_lock(next(line.runs.glob("pipeline/*-*"))):
                pass
        except UserError as error:
            refused.append(str(error))
        (line.root / "go").touch()

    line.when_working("static", second)
    line("static.wait=true")
    assert "is in use by process" in refused[0]


@pytest.mark.parametrize("year", [1999, 2999], ids=["clock set back", "clock set on"])
def test_a_parent_that_was_run_anew_is_noticed(done, year):
    static, before = done.run("static"), done.manifests()
    manifest = Manifest.read(static)
    manifest.times.started = f"{year}-01-01T00:00:00+00:00"  # as by force=true, with the same result
    manifest.write(static)
    del before[static / "manifest.json"]
    _, said = done(dry_run=True)
    assert f"depends on static: learn {manifest.id} was run anew since" in why(said, "cascade")
    assert done()[0] == started("cascade", "tune")
    assert before.keys() < done.manifests().keys()  # the apps said that all stands
    assert done()[0] == started()  # and are not asked again
    manifest.times.started = f"{year}-01-01T00:00:01+00:00"
    manifest.write(static)
    (static / "result").write_text("(other)")
    assert done()[0] == started("cascade", "tune", "evaluate")
    assert done.run("cascade") / "manifest.json" not in before


def test_a_run_that_is_gone_is_made_again(done):
    shutil.rmtree(done.run("tune"))
    count, said = done(dry_run=True)
    assert "never run" in why(said, "tune") or "gone" in why(said, "tune")
    assert done()[0]["tune"] == 1


def test_force_runs_all_anew(done):
    assert done(force=True)[0] == started(*NAMES)


def test_words_reach_the_phases_that_take_them(line):
    line("only_here=7", "place=there", "static.place=elsewhere")
    config = {name: Manifest.read(line.run(name)).config for name in NAMES}
    assert [config[name].get("only_here") for name in NAMES] == [None, None, 7, 7]
    assert [config[name]["place"] for name in NAMES] == ["elsewhere", "there", "there", "there"]


def test_everything_is_checked_before_the_first_phase(line, capsys):
    for words, lines in {
        ("tune.number=-1",): ["phase tune: number must not be negative, got -1"],
        ("numbr=3",): ["numbr: unknown key (did you mean 'number'?)"],
        ("static.only_here=3",): ["phase static: only_here: unknown key (did you mean 'others'?)"],
        ("dry_rum=true",): ["dry_rum: unknown key (did you mean 'dry_run'?)"],
    }.items():
        with pytest.raises(SystemExit) as ended:
            line(*words)
        assert ended.value.code == 2
        assert [text.removeprefix("Error: ") for text in capsys.readouterr().err.splitlines()] == lines
    assert not line.runs.exists()
    assert line.starts() == started()


def test_a_pipeline_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="phases.a takes the run of b, which must be a phase before it"):
        PipelineSettings("x", {"a": Phase("trace", takes={"run": "b"}), "b": Phase("train")})
    with pytest.raises(ValueError, match=r"verb=trian: no such verb \(did you mean 'train'\?\)"):
        Phase("trian")


class TestStartFrom:
    def test_the_phases_before_are_taken_as_they_were(self, done):
        cascade, static = done.run("cascade"), done.run("static")
        count, said = done("tune.number=30", "static.number=10", start_from=cascade.name[-8:])
        assert count == started("tune", "evaluate")
        assert done.record().metrics["phases"]["static"] == static.name[-8:]
        assert done.record().parents == [cascade.name[-8:]]
        assert Manifest.read(done.run("tune")).parents == [cascade.name[-8:], static.name[-8:]]

    def test_a_run_in_the_middle_leads_to_all_before_it(self, done):
        tune = done.run("tune")
        count, said = done("evaluate.number=40", start_from=str(tune), dry_run=True)
        assert [why(said, name).split(" │ ")[1] for name in NAMES] == ["no", "no", "no", "yes"]
        assert "given by start_from" in why(said, "cascade")

    def test_a_run_that_stands_for_no_phase(self, done):
        words = (*done._words("static"), "number=99")
        subprocess.run(phase_stub.command_of("learn", words), check=True, capture_output=True)
        other = next(path.parent for path in done.manifests() if Manifest.read(path.parent).config["number"] == 99)
        with pytest.raises(UserError) as told:
            done(start_from=str(other))
        assert str(told.value).startswith(
            f"start_from={other} (learn) stands for no one phase of pipeline stubs: it has "
        )
        assert "cascade (learn name=cascade)" in str(told.value)
        assert "\n" not in str(told.value)
        # What it stands for can be said; then static is missing, which nobody can guess.
        with pytest.raises(UserError, match="phase tune takes the run of static, which is not there yet"):
            done("static.number=12", start_from={"cascade": str(other)})
        count, _ = done("static.number=12", start_from={"cascade": str(other), "static": str(done.run("static"))})
        assert count == started("tune", "evaluate")

    def test_wrong_references(self, done):
        tune = done.run("tune").name[-8:]
        with pytest.raises(UserError, match="start_from=nowhere: run 'nowhere' is no folder"):
            done(start_from="nowhere")
        with pytest.raises(UserError, match=r"has no phase cascad \(did you mean 'cascade'\?\)"):
            done(start_from={"cascad": tune})
        with pytest.raises(UserError, match=f"phase cascade is a learn run, but {tune} is a weigh run"):
            done(start_from={"cascade": tune})
