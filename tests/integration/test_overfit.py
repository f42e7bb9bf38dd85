"""Eight images learnt by heart: every exit must reach AP50 0.99, or something between pixels and AP is wrong."""

import json

import pytest


@pytest.mark.slow
def test_every_exit_learns_eight_images_by_heart(cli, tmp_path):
    answer = cli(
        "train",
        "experiment=demo",
        f"data.root={tmp_path / 'rooms'}",
        "data.rooms.images={train: 8, val: 8, calibrate: 1, test: 1}",
        "data.rooms.difficulty_mix={empty: 0.0, simple: 1.0, crowded: 0.0}",
        # The same eight images are judged.
        "data.val.annotations=annotations/train.json",
        "augment=none",
        "trainer.batch_size=8",
        "trainer.max_epochs=300",
        "trainer.limit_val_batches=1",
        "trainer.progress=false",
        "callbacks.pictures=0",
        "callbacks.ema_decay=0.9",
        f"runs_root={tmp_path / 'runs'}",
    )
    assert answer.code == 0, answer.err
    exits = json.loads((answer.run / "metrics.json").read_text())["exits"]
    assert {name: figures["AP50"] >= 0.99 for name, figures in exits.items()} == dict.fromkeys(exits, True), exits
