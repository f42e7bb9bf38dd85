"""Wrong configurations: every mistake at once, one line each, with the user's dotted keys, and no traceback."""

import pytest


def test_unknown_key_gets_a_suggestion(cli):
    answer = cli("train", "trainer.max_epoch=3")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.errors == ["trainer.max_epoch: unknown key (did you mean 'trainer.max_epochs'?)"]


def test_all_mistakes_at_once(cli):
    # Hydra lets `+key` pass; validation does not.
    answer = cli(
        "train",
        "trainer.max_epochs=many",
        "model.exits.exit1.channels=60",
        "optimizer.lr=-1",
        "+loss.matcher_ios=0.4",
    )
    assert answer.code == 2
    assert sorted(answer.errors) == [
        "loss.matcher_ios: unknown key (did you mean 'matcher_iou'?)",
        "model.exits.exit1: channels must be a multiple of 8, got 60",
        "optimizer: lr must be in (0, 1], got -1.0",
        "trainer.max_epochs: input should be a valid integer, unable to parse string as an integer, got 'many'",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["experiment=phase1_chiar"], "experiment=phase1_chiar: no such choice (did you mean 'phase1_chair'?)"),
        (["model=cascada"], "model=cascada: no such choice (did you mean 'cascade'?)"),
        (["model.exits.exit1.after=15"], "model: exits must stand one behind the other: 'after' must rise"),
        (["schedule.static.share=0.6"], "schedule: the shares of static, exits and joint must add up to 1, got 1.1"),
        (["model.exits.exit1.context=features"], "model: exits.exit1.context must be none: there is no exit before it"),
        (["schedule=joint", "optimizer=finetune"], "optimizer.frozen_features must be 0 with init=scratch"),
        (["data.split.val=1.5"], "data.split"),
        (["seed=-1"], "seed must be between 0 and 2**32 - 1, got -1"),
        (["model=3"], "Config group override must be a string or a list"),
    ],
)
def test_one_clear_line(cli, words, line):
    answer = cli("train", *words)
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith(line)


def test_missing_data_is_one_line_and_leaves_nothing(cli, tmp_path):
    answer = cli("train", "data=coco", "data.root=/nowhere", f"runs_root={tmp_path}/runs")
    assert answer.code == 1
    assert answer.errors == ["data.root=/nowhere: folder does not exist"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["init=nowhere.pt"], "init=nowhere.pt: no such file or run: "),
        (["run=nowhere"], "run=nowhere: no such file or run: "),
        (
            ["trainer=cpu", "trainer.devices=0"],
            "trainer (accelerator=cpu, devices=0, strategy=auto): `Trainer(devices=0)`",
        ),
        (
            ["trainer.accelerator=gpuu"],
            "trainer (accelerator=gpuu, devices=auto, strategy=auto): You selected an invalid",
        ),
        (["trainer.strategy=dddp"], "trainer (accelerator=auto, devices=auto, strategy=dddp): You selected an invalid"),
    ],
)
def test_what_is_not_there_is_one_line_and_leaves_nothing(cli, tmp_path, words, line):
    answer = cli("train", *words, f"data.root={tmp_path}/rooms", f"runs_root={tmp_path}/runs")
    assert answer.code == 1
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith(line)
    assert not list(tmp_path.iterdir())


def test_unknown_verb(cli):
    answer = cli("trian")
    assert answer.code == 1
    assert answer.errors[0].startswith("trian: no such verb (did you mean 'train'?)")


def test_required_keys_are_named(cli):
    answer = cli("evaluate")
    assert answer.code == 2
    assert answer.errors == ["run: must be given"]


def test_a_key_of_a_group_of_which_nothing_is_chosen(cli):
    answer = cli("trace", "run=models/chair", "data.check=header", "data.root=here")
    assert answer.errors == ["data.check: no data is chosen that it could change: add data=NAME"]
