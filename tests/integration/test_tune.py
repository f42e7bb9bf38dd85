"""`tune`: from a trained model to a policy that the runner keeps, from the calibrate role alone; and bad input."""

import json
import warnings
from pathlib import Path

import pytest

import cascade_exit
from cascade_exit.data import ClassMap, read_coco
from cascade_exit.policies import read_policy
from cascade_exit.runs import Manifest
from cascade_exit.runtime import Runner, read_stage_costs
from cascade_exit.trace import read_trace, write_trace
from tests.conftest import REPOSITORY

CHAIR, STATIC = (str(REPOSITORY / "models" / name) for name in ("chair", "static_chair"))


@pytest.fixture(scope="module")
def calibrate_only(cli, tmp_path_factory) -> tuple[Path, list[str]]:
    """Generated rooms of which nothing but the calibrate role is left, and the words that name them."""
    root = tmp_path_factory.mktemp("rooms")
    counts = "data.rooms.images={train: 1, val: 1, calibrate: 24, test: 1}"
    assert cli("describe", f"data.root={root}", counts, f"runs_root={root / 'runs'}").code == 0
    for role in ("train", "val", "test"):
        (root / "annotations" / f"{role}.json").unlink()
        for picture in (root / "images").glob(f"{role}_*"):
            picture.unlink()
    return root, ["data=coco", f"data.root={root}", "data.calibrate.annotations=annotations/calibrate.json"]


@pytest.fixture(scope="module")
def tuned(cli, calibrate_only, tmp_path_factory):
    """The folder of a tuned run of one family, the words that made it, and the folder of all runs."""
    runs = tmp_path_factory.mktemp("runs")
    words = ["tune", f"run={CHAIR}", *calibrate_only[1], "family=certainty", "max_relative_ap_drop=0.5", "quantiles=4"]
    words += [f"static=[{STATIC}]", "pictures=2", f"runs_root={runs}"]
    answer = cli(*words)
    assert answer.code == 0, answer.err
    return answer, words, runs


def traces(runs: Path) -> dict[str, Path]:
    return {Manifest.read(path.parent).parents[0]: path for path in runs.glob("trace/*/trace.safetensors")}


@pytest.mark.slow
def test_everything_that_was_tried_is_written(tuned):
    answer, _, runs = tuned
    record = json.loads((answer.run / "tuning.json").read_text())
    assert record["chosen"] == "certainty"
    family = record["families"]["certainty"]
    assert family["point"] in family["points"]
    assert all(point in family["points"] for point in family["front"])
    assert record["asked_for"]["max_relative_ap_drop"] == 0.5
    assert set(record["references"]["alone"]) == set(record["distributions"]) == {"exit1", "exit2", "full"}
    assert {"temperature", "score_map"} == record["calibration"]["fitted"]["full"].keys()
    assert record["calibration"]["exits"]["full"]["after"].keys() == {"nll", "ece", "detection_ece"}
    assert [static["name"] for static in record["cost"]["statics"]] == ["models/static_chair"]
    manifest = Manifest.read(answer.run)
    of_trace = Manifest.read(traces(runs)["models/chair"].parent)
    assert manifest.parents == ["models/chair", of_trace.id, "models/static_chair"]
    assert manifest.metrics["policy"]["exit_rates"] == family["point"]["exit_rates"]
    names = {path.name for path in (answer.run / "figures").iterdir()}
    assert {"trade_off.png", "reliability.png", "statistics.png", "thresholds_certainty.png", "leaving.png"} <= names
    assert "certainty *" in answer.err
    assert str(answer.run / "figures" / "trade_off.png") in answer.err


@pytest.mark.slow
def test_same_command_shows_the_finished_run(tuned, cli):
    answer, words, _ = tuned
    before = (answer.run / "policy.json").read_bytes()
    again = cli(*words)
    assert (again.code, again.run) == (0, answer.run)
    assert "certainty *" in again.err
    assert (answer.run / "policy.json").read_bytes() == before


@pytest.mark.slow
def test_runner_leaves_where_tune_promised(tuned, calibrate_only):
    answer, _, runs = tuned
    policy = read_policy(answer.run / "policy.json")
    trace = read_trace(traces(runs)["models/chair"])
    promised = policy.choose(trace)
    rates = {name: float((promised == place).mean()) for place, name in enumerate(trace.header.exit_names)}
    assert policy.exit_rates == pytest.approx(rates)
    assert policy.tuned_on["goal"] == "max_speedup"
    runner = cascade_exit.load(CHAIR, policy=answer.run / "policy.json")
    assert isinstance(runner, Runner)
    root = calibrate_only[0]
    images = read_coco(root / "annotations" / "calibrate.json", root / "images", ClassMap(("chair",)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = [runner.detect(record.path).exit_index for record in images.records]
    # A batch of one may differ from the trace's batch in the last digits of a statistic.
    assert sum(one != two for one, two in zip(taken, promised, strict=True)) <= 1


@pytest.mark.slow
def test_all_families_compete(tuned, cli, calibrate_only):
    _, _, runs = tuned
    answer = cli(
        "tune", f"run={CHAIR}", *calibrate_only[1], "pictures=0", "min_speedup=1.1", "quantiles=4", f"runs_root={runs}"
    )
    assert answer.code == 0, answer.err
    record = json.loads((answer.run / "tuning.json").read_text())
    families = {*record["families"], *record["left_out"]}
    assert {"plan", "mean_confidence", "agreement", "per_class", "logistic", "router"} <= families
    judged = {name: each["crossfitted"] for name, each in record["families"].items()}
    within = {name: each["ap"] for name, each in judged.items() if each and each["speedup"] >= 1.1}
    assert record["chosen"] in within
    assert within[record["chosen"]] == max(within.values())
    assert read_policy(answer.run / "policy.json").name == record["chosen"]
    for name, reason in record["left_out"].items():
        assert f"Left out {name}: {reason}" in answer.err


@pytest.mark.slow
def test_drop_and_speedup_may_be_against_a_static_model(tuned, cli, calibrate_only):
    full, _, runs = tuned
    words = ["family=certainty", "max_relative_ap_drop=0.5", "quantiles=4", "pictures=0", f"runs_root={runs}"]
    answer = cli("tune", f"run={CHAIR}", *calibrate_only[1], f"baseline={STATIC}", *words)
    assert answer.code == 0, answer.err
    assert answer.run != full.run
    record = json.loads((answer.run / "tuning.json").read_text())
    baseline, (static,) = record["baseline"], record["cost"]["statics"]
    assert (baseline["name"], baseline["ap"], baseline["cost"]) == (static["name"], static["ap"], static["cost"])
    assert json.loads((full.run / "tuning.json").read_text())["baseline"]["name"] == "full"
    for point in record["families"]["certainty"]["points"]:
        assert point["speedup"] == pytest.approx(static["cost"] / point["mean_cost"])
        assert point["relative_ap_drop"] == pytest.approx(1 - point["ap"] / static["ap"])
    judged = record["families"]["certainty"]["crossfitted"]
    assert judged["relative_ap_drop"] == pytest.approx(1 - judged["ap"] / static["ap"])
    assert judged["intervals"]["relative_ap_drop"][0] < judged["relative_ap_drop"]
    assert Manifest.read(answer.run).metrics["baseline"]["run"] == "models/static_chair"
    assert "drop of AP against models/static_chair" in answer.err
    assert read_policy(answer.run / "policy.json").tuned_on["baseline"] == "models/static_chair"


@pytest.mark.parametrize(("word", "key"), [("static=[{}]", "static"), ("baseline={}", "baseline")])
def test_static_model_of_other_classes_is_refused(cli, tmp_path, word, key):
    other = str(REPOSITORY / "models" / "static_multi13")
    words = ["data=coco", "data.root=/nowhere", word.format(other), f"runs_root={tmp_path}/runs"]
    answer = cli("tune", f"run={CHAIR}", *words)
    assert (answer.code, answer.errors) == (1, [f"{key}={other}: its classes are not those of the model"])


@pytest.mark.slow
def test_budget_is_in_measured_milliseconds(tuned, cli, calibrate_only):
    _, _, runs = tuned
    words = ["family=certainty", "budget_ms=1e6", "threads=1", "pictures=0", "quantiles=4", f"runs_root={runs}"]
    answer = cli("tune", f"run={CHAIR}", *calibrate_only[1], *words)
    assert answer.code == 0, answer.err
    record = json.loads((answer.run / "tuning.json").read_text())
    measured = json.loads((answer.run / "costs" / "torch.json").read_text())
    assert measured["threads"] == 1
    assert record["cost"]["unit"] == "ms"
    costs = record["cost"]["by_exit"]
    assert costs["exit1"] < costs["full"]
    stages = read_stage_costs(answer.run / "costs" / "torch.json")
    assert costs == pytest.approx(stages.leaving_costs(record["cost"]["deciding"]))
    assert record["baseline"]["cost"] == pytest.approx(stages.leaving_costs(())["full"])
    assert costs["full"] == pytest.approx(measured["exits"]["full"]["leaving"]["mean_ms"], rel=0.2)
    points = record["families"]["certainty"]["points"]
    assert record["families"]["certainty"]["point"]["ap"] == max(point["ap"] for point in points)


@pytest.mark.slow
def test_without_certificate_there_is_no_policy_but_the_number_of_images(tuned, cli, calibrate_only, tmp_path):
    _, _, runs = tuned
    risk = ["risk.loss=recall", "risk.epsilon=0.02", "risk.delta=0.1"]
    folder = tmp_path / "risk"
    place = [f"run_dir={folder}", f"runs_root={runs}"]
    answer = cli("tune", f"run={CHAIR}", *calibrate_only[1], "family=certainty", *risk, "quantiles=4", *place)
    assert answer.code == 1
    assert "Error: risk: no certificate for a mean recall loss of at most 0.02 from " in answer.err
    assert "calibration, rules and family are from" in answer.err
    assert (folder / "tuning.json").exists()
    assert not (folder / "policy.json").exists()
    assert Manifest.read(folder).state == "failed"


@pytest.mark.slow
def test_certificate_is_in_the_policy(tuned, cli, calibrate_only):
    _, _, runs = tuned
    plain = ["family=certainty", "temperature=false", "harmonise=false", "pictures=0"]
    risk = ["risk.loss=f1", "risk.epsilon=0.6"]
    answer = cli("tune", f"run={CHAIR}", *calibrate_only[1], *plain, *risk, "quantiles=4", f"runs_root={runs}")
    assert answer.code == 0, answer.err
    certificate = read_policy(answer.run / "policy.json").certificate
    assert (certificate["method"], certificate["loss"], certificate["images"]) == ("crc", "f1", 24)
    assert certificate["bound"] <= 0.6
    assert "nothing was fitted: the certificate is from all 24 images" in answer.err


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["family=certanty"], 1, "family=certanty: no such family (did you mean 'certainty'?)"),
        (["objective=max_ap"], 2, "min_speedup or budget_ms must be given with objective max_ap"),
        (["budget_ms=-1"], 2, "budget_ms must be above 0, got -1"),
        (["risk.loss=recall"], 2, "risk: loss and epsilon must be given together"),
        (["risk.loss=recall", "risk.epsilon=2"], 2, "risk: epsilon must lie in (0, 1), got 2.0"),
        (["risk.loss=f1", "risk.epsilon=0.1", "min_speedup=2"], 2, "risk must stand alone"),
        (["objectiv=max_ap"], 2, "objectiv: unknown key (did you mean 'objective'?)"),
        (["pictures=-1"], 2, "pictures must not be negative, got -1"),
    ],
)
def test_wrong_settings_get_one_line(cli, tmp_path, words, code, line):
    answer = cli("tune", f"run={CHAIR}", "data=coco", "data.root=/nowhere", *words, f"runs_root={tmp_path}/runs")
    assert answer.code == code
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith(line)
    assert not (tmp_path / "runs").exists()


def test_static_model_is_refused(cli, tmp_path):
    answer = cli("tune", f"run={STATIC}", "data=coco", "data.root=/nowhere", f"runs_root={tmp_path}/runs")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.errors[0].endswith("a static model has no early exit, so there is nothing to tune")


def test_role_without_images_is_refused(cli, calibrate_only, tmp_path):
    root = calibrate_only[0]
    content = json.loads((root / "annotations" / "calibrate.json").read_text())
    (root / "annotations" / "none.json").write_text(json.dumps(content | {"images": [], "annotations": []}))
    words = ["data=coco", f"data.root={root}", "data.calibrate.annotations=annotations/none.json"]
    answer = cli("tune", f"run={CHAIR}", *words, f"runs_root={tmp_path}/runs")
    assert (answer.code, len(answer.errors)) == (1, 1)
    assert answer.errors[0].endswith("none.json: lists no images")


@pytest.mark.slow
def test_a_trace_with_values_that_are_no_number_is_refused(tuned, cli, calibrate_only):
    _, _, runs = tuned
    path = traces(runs)["models/chair"]
    whole, trace = path.read_bytes(), read_trace(path)
    trace.exits["exit2"].digest.mean_confidence[3] = float("nan")
    try:
        write_trace(path, trace)
        answer = cli("tune", f"run={CHAIR}", *calibrate_only[1], "family=max_score", f"runs_root={runs}")
    finally:
        path.write_bytes(whole)
    assert answer.code == 1
    assert (
        answer.err.strip().splitlines()[-1].startswith("Error: mean_confidence at exit2: no number for 1 of 24 images")
    )


@pytest.mark.slow
def test_policy_of_another_model_is_refused(tuned):
    answer, _, _ = tuned
    with pytest.raises(Exception, match="was tuned for model"):
        cascade_exit.load(STATIC, policy=answer.run / "policy.json")
