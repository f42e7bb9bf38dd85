"""Kept models that share weights with another: nothing is lost, and nothing wrong is read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cascade_exit.data import ClassMap
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.rules import ThresholdRule
from cascade_exit.runs import UserError
from cascade_exit.runtime import Detector, load, read_kept_model, rounded_to_16_bit, write_kept_model
from cascade_exit.runtime.detector import model_fingerprint
from cascade_exit.runtime.shared_weights import own_part, put_together
from tests.runtime.cascades import CLASSES, checkpoint, pictures


def cascade() -> Checkpoint:
    return rounded_to_16_bit(checkpoint("plain"))


def static(size_px: int | None = None, shift: float = 0) -> Checkpoint:
    """The cascade's full network alone; shifted, its weights are others."""
    whole = cascade()
    state = {name: value for name, value in whole.state.items() if not name.startswith("exits.")}
    state = {name: value + shift if value.is_floating_point() else value for name, value in state.items()}
    taken = whole.model.input if size_px is None else replace(whole.model.input, size_px=size_px)
    model = replace(whole.model, exits={}, input=taken)
    return rounded_to_16_bit(Checkpoint(model, whole.class_map, whole.decoding, state))


def drifted() -> Checkpoint:
    """The cascade with one value of a large frozen tensor, and all of another, a little off."""
    one = cascade()
    state = {name: value.clone() for name, value in one.state.items()}
    state["trunk.features.15.block.0.0.weight"].view(-1)[7] += 0.25
    state["trunk.features.3.block.0.0.weight"] += 0.25
    return rounded_to_16_bit(replace(one, state=state))


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    return one.state.keys() == other.state.keys() and all(torch.equal(one.state[k], other.state[k]) for k in one.state)


def same_answers(one: Checkpoint, other: Checkpoint) -> bool:
    found, expected = (Detector(it).every_exit(pictures()[3]) for it in (one, other))
    assert len(expected["full"].scores) > 0
    return all(torch.equal(a, b) for name in expected for a, b in zip(found[name], expected[name], strict=True))


@pytest.fixture
def models(tmp_path) -> Path:
    """A folder with a kept static model."""
    write_kept_model(tmp_path / "models" / "static", static(), {})
    return tmp_path / "models"


def over(models: Path, base: str = "static", name: str = "cascade", kept: Checkpoint | None = None) -> Path:
    write_kept_model(models / name, kept or drifted(), {"licence": "CC0"}, models / base)
    return models / name


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def half(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float16)


def test_a_vanished_weight_is_one_zero_whatever_its_sign(models, tmp_path):
    one, other = (drifted() for _ in range(2))
    for each, sign in ((one, 1), (other, -1)):
        each.state["trunk.features.0.0.weight"][0] = sign * 1e-9
    for name, each in (("one", one), ("other", other)):
        write_kept_model(tmp_path / name, rounded_to_16_bit(each), {})
    assert model_fingerprint(tmp_path / "one") == model_fingerprint(tmp_path / "other")


def test_what_differs_is_kept_and_gives_everything_back():
    large = torch.arange(64, dtype=torch.float16).view(8, 8)
    moved = large.clone()
    moved[1, 2], moved[7, 7] = 0.5, -3
    base = {
        "same": large, "few": large, "most": large, "shape": large, "kind": large, "zero": half(*[0.0] * 9),
        "count": torch.tensor(5), "steps": torch.tensor(5),
    }  # fmt: skip
    state = {
        "same": large.clone(), "few": moved, "most": large + 1, "shape": large[:4].clone(), "kind": large.float(),
        "zero": half(-0.0, *[0.0] * 8), "count": torch.tensor(5), "steps": torch.tensor(6), "new": half(1, 2),
    }  # fmt: skip
    own = own_part(state, base)
    # The sign of a zero is no difference.
    assert own.keys() == {"few@places", "few@values", "most", "shape", "kind", "steps", "new"}
    assert own["few@places"].tolist() == [10, 63]
    assert own["few@values"].tolist() == [0.5, -3]
    again = put_together(own, base)
    assert again.keys() == state.keys()
    for name, value in state.items():
        assert (again[name].dtype, again[name].shape) == (value.dtype, value.shape)
        assert torch.equal(again[name], value)
    assert torch.equal(base["few"], torch.arange(64, dtype=torch.float16).view(8, 8)), "the base stays as it is"


def test_a_cascade_over_its_static_model_is_what_it_is_alone(models, tmp_path):
    kept = over(models)
    write_kept_model(tmp_path / "alone", drifted(), {"licence": "CC0"})
    sizes = {path.parent.name: path.stat().st_size for path in tmp_path.rglob("model.safetensors")}
    # The exits, one small tensor, one value of a large one, and a header.
    exits = sum(2 * value.numel() for name, value in drifted().state.items() if name.startswith("exits."))
    assert exits < sizes["cascade"] < 1.3 * exits < sizes["alone"] - 0.9 * sizes["static"] + 0.3 * exits
    policy = Policy(model_fingerprint(tmp_path / "alone"), CLASSES, {"exit1": ThresholdRule("max_score", 0.0)})
    write_policy(kept / "policy.json", policy)

    moved = models.rename(tmp_path / "elsewhere") / "cascade"
    read = read_kept_model(moved)
    assert read.description["licence"] == "CC0"
    assert same_weights(read.checkpoint, drifted())
    assert same_answers(read.checkpoint, drifted())
    assert model_fingerprint(moved) == model_fingerprint(tmp_path / "alone"), "a policy is of weights, kept anyhow"
    assert load(moved, policy="shipped").detect(pictures()[3]).exit_name == "exit1"


def test_a_folder_is_found_from_within(models, monkeypatch):
    monkeypatch.chdir(over(models))
    assert same_weights(read_kept_model(Path()).checkpoint, drifted())


def test_the_same_weights_at_another_input_size(models):
    kept = over(models, kept=static(size_px=128))
    assert (kept / "model.safetensors").stat().st_size < 100
    read = read_kept_model(kept).checkpoint
    assert read.model.input.size_px == 128
    assert same_answers(read, static(size_px=128))
    assert model_fingerprint(kept) != model_fingerprint(models / "static"), "or a policy and a trace would be of both"


def test_a_fingerprint_is_of_all_that_decides_the_answers_and_of_nothing_else(models):
    one = static()
    others = {
        "network": replace(one, model=replace(one.model, full=replace(one.model.full, top_down=True))),
        "decoding": replace(one, decoding=replace(one.decoding, nms_iou=0.5)),
        "classes": replace(one, class_map=ClassMap(("sofa", "screen"))),
        "weights": static(shift=0.25),
    }
    for name, other in others.items():
        write_kept_model(models / name, other, {"licence": "CC0"})
    write_kept_model(models / "licence", one, {"licence": "MIT"})
    found = {name: model_fingerprint(models / name) for name in ("static", "licence", *others)}
    assert found["licence"] == found["static"]
    assert len({*found.values()}) == len(found) - 1


def test_without_base_a_folder_is_as_ever(models):
    import hashlib

    description = json.loads((models / "static" / "model.json").read_text())
    digest = hashlib.sha256((models / "static" / "model.safetensors").read_bytes()).hexdigest()
    assert (description["schema_version"], description["sha256"]) == (1, digest)
    assert not {"base", "whole_sha256"} & description.keys()
    assert json.loads((over(models) / "model.json").read_text())["schema_version"] == 2, "no half of it for old readers"


def lost(models: Path) -> None:
    (models / "static").rename(models.parent / "static")


def swapped(models: Path) -> None:
    lost(models)
    write_kept_model(models.parent / "other" / "static", static(shift=1), {})
    (models.parent / "other" / "static").rename(models / "static")


def own_swapped(models: Path) -> None:
    other = over(models, name="other", kept=cascade()) / "model.safetensors"
    other.rename(models / "cascade" / "model.safetensors")


@pytest.mark.parametrize(
    ("accident", "line"),
    [
        (
            lost,
            r"static/model\.safetensors: no such file, but \S+cascade keeps only what differs .* copy folder static",
        ),
        (swapped, r"static/model\.safetensors: not the weights that \S+cascade was kept over .* export cascade anew"),
        (own_swapped, r"cascade/model\.safetensors: not the weights that model\.json describes"),
    ],
)
def test_wrong_weights_are_not_read(models, accident, line):
    kept = over(models)
    accident(models)
    for use in (read_kept_model, model_fingerprint, load):
        with pytest.raises(UserError, match=line):
            use(kept)


def to_itself(models: Path) -> None:
    over(models, name="static", kept=static())


def to_a_run(models: Path) -> None:
    (models / "run").mkdir()
    (models / "run" / "manifest.json").write_text("{}")
    over(models, "run")


def to_what_lies_elsewhere(models: Path) -> None:
    write_kept_model(models.parent / "elsewhere" / "static", static(), {})
    write_kept_model(models / "cascade", drifted(), {}, models.parent / "elsewhere" / "static")


def to_a_second_level(models: Path) -> None:
    over(models, base=over(models, name="first").name, name="second")


def to_more_than_it_has(models: Path) -> None:
    write_kept_model(models / "whole", cascade(), {})
    over(models, "whole", kept=static())


def to_a_stranger(models: Path) -> None:
    write_kept_model(models / "stranger", static(shift=1), {})
    over(models, "stranger")


def to_one_that_others_lean_on(models: Path) -> None:
    over(models)
    write_kept_model(models / "twin", static(), {})
    over(models, "twin", name="static", kept=static(size_px=128))


@pytest.mark.parametrize(
    ("attempt", "line"),
    [
        (to_itself, "base=\\S+static: is the very model that is to be kept"),
        (to_a_run, "base=\\S+run: is no kept model with weights"),
        (to_what_lies_elsewhere, "base=\\S+static: must lie beside \\S+cascade, as \\S+models/static"),
        (to_a_second_level, r"base=\S+first: has itself a base \(static\)"),
        (to_more_than_it_has, "base=\\S+whole: has exits.exit1.\\S+, which cascade lacks"),
        (to_a_stranger, "base=\\S+stranger: cascade shares only [0-9]% with it; keep it without base"),
        (to_one_that_others_lean_on, "name=static: other weights of that name are the base of cascade"),
    ],
)
def test_what_cannot_be_a_base_is_refused(models, attempt, line):
    before = files(models / "static")
    with pytest.raises(UserError, match=line):
        attempt(models)
    assert files(models / "static") == before
    assert not (models / "second").exists()


def test_a_base_is_not_overwritten_by_other_weights(models):
    over(models)
    over(models, name="second")
    before = files(models)
    with pytest.raises(UserError, match="are the base of cascade, second, which could not be read any more") as refusal:
        write_kept_model(models / "static", static(shift=1), {})
    assert "\n" not in str(refusal.value)
    assert files(models) == before
    write_kept_model(models / "static", static(), {"licence": "CC0"})  # the same weights
    assert same_weights(read_kept_model(models / "second").checkpoint, drifted())

    for name in ("cascade", "second"):  # each on its own again: then the way is free
        write_kept_model(models / name, drifted(), {})
    write_kept_model(models / "static", static(shift=1), {})
    assert same_weights(read_kept_model(models / "cascade").checkpoint, drifted())
