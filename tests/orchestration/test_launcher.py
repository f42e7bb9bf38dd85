"""`-m` on the command line: checked before anything starts."""

WORDS = ["train", "-m", "experiment=debug_rooms"]


def test_dry_run_lists_every_job_and_leaves_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*WORDS, "seed=1,2", "hydra.launcher.dry_run=true")
    assert answer.code == 0, answer.err
    assert "2 of 2 jobs would run" in answer.err
    assert answer.err.count("never run") == 2
    assert answer.out.startswith("sweeps/")
    assert not any(tmp_path.iterdir())


def test_an_invalid_job_stops_all_and_is_named(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*WORDS, "model.exits.exit1.channels=64,60", "trainer.max_epochs=3")
    assert answer.code == 2
    assert answer.errors == [
        "job 2 of 2 (experiment=debug_rooms model.exits.exit1.channels=60 trainer.max_epochs=3): "
        "model.exits.exit1: channels must be a multiple of 8, got 60"
    ]
    assert not any(tmp_path.iterdir())


def test_unknown_keys_get_a_suggestion(cli):
    answer = cli(*WORDS, "trainer.max_epoch=3", "seed=1,2")
    assert answer.code == 2
    assert answer.errors == ["all 2 jobs: trainer.max_epoch: unknown key (did you mean 'trainer.max_epochs'?)"]
    answer = cli(*WORDS, "hydra.launcher.paralel=3")
    assert answer.code == 2
    assert answer.errors == ["hydra.launcher.paralel: unknown key (did you mean 'hydra.launcher.parallel'?)"]


def test_launcher_settings_are_checked(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*WORDS, "hydra.launcher.on_failure=stopp")
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith("hydra.launcher.on_failure: input should be 'continue' or 'stop', got 'stopp'")
