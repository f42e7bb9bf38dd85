"""The page says what the runs have on disk, in numbers, charts and pictures, and nothing else."""

import base64
import io
import json
import math
import re
import statistics
from pathlib import Path

import pytest
from PIL import Image

from cascade_exit.policies import Policy, write_policy
from cascade_exit.policies.calibration import ExitCalibration
from cascade_exit.policies.rules import LogisticRule, PerClassRule, ThresholdRule
from cascade_exit.report.page import pictures as picture_room
from cascade_exit.report.page import read_reported, render_page
from cascade_exit.report.page.rendering import script_json
from cascade_exit.runs import UserError
from tests.report.made_runs import EXITS, Page, evaluate_run, make_run, measured, paint, put, train_run, tune_run

APS = {
    "11111111": dict(zip(EXITS, (0.1012345, 0.2098765, 0.3011111), strict=True)),
    "22222222": dict(zip(EXITS, (0.1112345, 0.2198765, 0.2911111), strict=True)),
    "33333333": dict(zip(EXITS, (0.1312345, 0.1998765, 0.3211111), strict=True)),
}


def page_of(folders, root, pictures=4) -> Page:
    return Page.of(render_page([read_reported(folder) for folder in folders], root, pictures, "made by a test"))


def json_of(folder: Path, name: str = "metrics.json"):
    return json.loads((folder / name).read_text())


def at(content, path):
    for part in path.split("."):
        content = content[part]
    return content


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def folders(root) -> list[Path]:
    made = [train_run(root, run_id, seed, aps) for seed, (run_id, aps) in enumerate(APS.items(), start=1)]
    made.append(evaluate_run(root, "44444444", "11111111", APS["22222222"]))
    made.append(tune_run(root, "55555555", "11111111"))
    return made


@pytest.fixture(scope="module")
def page(folders, root) -> Page:
    return page_of(folders, root)


class TestNumbers:
    def test_every_number_in_the_tables_is_that_of_metrics_json(self, folders, page):
        contents = {folder.name[-8:]: json_of(folder) for folder in folders[:4]}
        contents["55555555"] = json_of(folders[4], "manifest.json")["metrics"]
        of_runs = {key: value for key, value in page.numbers.items() if key[0] != "early" and "mean of" not in key[0]}
        for (path, run), value in of_runs.items():
            if run in contents:
                assert value == at(contents[run], path)
        shown = set(of_runs)
        expected = {
            (f"exits.{name}.{key}", run)
            for run in contents
            if run != "55555555"
            for name in EXITS
            for key in ("AP", "AP50", "macs", "parameters")
        }
        expected |= {
            (f"policy.{key}", "44444444") for key in ("AP", "AP50", "relative_ap_drop", "macs", "speedup_macs")
        }
        expected |= {
            (path, "44444444") for path in ("baseline.AP", "baseline.macs", "bounds.random_AP", "bounds.oracle_AP")
        }
        expected |= {(f"policy.{key}", "55555555") for key in ("AP", "relative_ap_drop", "speedup_macs")}
        assert expected < shown

    def test_numbers_are_rounded_for_people_with_intervals_below(self, page):
        row = page.row("evaluate toy, seed 1")
        assert row[1:5] == ["evaluate", "toy", "finished", "2026-11-01 10:00 took 0:10:00"]
        assert "0.291 0.201 to 0.410" in row
        assert row[-1] == "certainty against models/still"
        assert "−1.2 %" in " ".join(page.row("tune toy, seed 1", 1))

    def test_kinds_of_images_have_their_figures(self, page):
        assert page.row("objects: 0")[1:] == ["7", "–", "–", "–", "–", "75.0 %", "25.0 %"]
        assert page.row("objects: 5+")[1:] == [
            *("1,033", "0.123", "0.432", "0.399", "7.7 % −1.1 % to 12.5 %", "3.1 %", "96.9 %"),
        ]

    def test_what_was_not_measured_is_not_there(self, page):
        measures = {path.rsplit(".", 1)[-1] for path, _ in page.numbers}
        assert not {"AP75", "AP_small", "ece", "nll", "efficacy", "speedup_latency", "p50"} & measures
        assert not any(run == "55555555" and path.startswith("exits") for path, run in page.numbers)
        for words in ("AP75", "efficacy", "p50 ms"):
            assert words not in page.text
        # An exit that no image leaves at would be a zero; one that the policy does not have is not there.
        assert ("policy.exit_rates.exit2", "55555555") not in page.numbers
        assert page.row("tune toy, seed 1")[-2:] == ["–", "router"]

    def test_a_run_with_nothing_but_a_manifest_leaves_the_other_sections_out(self, tmp_path):
        page = page_of([make_run(tmp_path, "trace", "99999999")], tmp_path)
        assert page.sections == ["runs", "provenance"]
        assert page.scripts[0].strip().startswith('"use strict"')  # no plotly.js where nothing is drawn


class TestCharts:
    def test_training_curves_are_the_record(self, folders, page):
        for name in EXITS:
            lines = page.figures[f"AP of {name} on val"]["data"]
            for line, folder in zip(lines, folders[:3], strict=True):
                rows = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
                assert line["x"] == [1, 2, 3]
                assert line["y"] == [row[f"val/{name}/AP"] for row in rows]
                assert folder.name[-8:] in line["name"]
        assert page.figures["Loss of full: classification and localization"]["data"][0]["y"] == [3.0, 2.25, 1.5]
        assert page.figures["Loss term distill, before its weight"]["data"][0]["y"] == [7, 7, 7]
        assert not any("exit1: classification" in title or "cascade" in title for title in page.figures)

    def test_points_of_different_images_are_in_different_charts(self, folders, page):
        on_test = {trace["name"]: trace for trace in page.figures["On 40 test images (test.json)"]["data"]}
        metrics = json_of(folders[3])
        label = "evaluate toy, seed 1 (44444444)"
        assert on_test[f"{label}: exits"]["x"] == [metrics["exits"][name]["macs"] / 1e6 for name in EXITS]
        assert on_test[f"{label}: exits"]["y"] == [metrics["exits"][name]["AP"] for name in EXITS]
        found = {
            name.split(": ")[1]: (trace["x"], trace["y"]) for name, trace in on_test.items() if len(trace["x"]) == 1
        }
        assert found == {
            "policy certainty": ([203.0000005], [0.31415]),
            "oracle at the policy's cost": ([203.0000005], [0.3712]),
            "random at the policy's cost": ([203.0000005], [0.2871]),
            "baseline models/still": ([299], [0.3277]),
        }
        assert len(page.figures["On 40 val images (val.json)"]["data"]) == 3

    def test_operating_points_of_tuning_are_its_fronts(self, page):
        found = {trace["name"]: (trace["x"], trace["y"]) for trace in page.figures["On 30 calibrate images"]["data"]}
        assert found == {
            "55555555: router": ([100, 200], [0.11, 0.2817]),
            "tune toy, seed 1 (55555555): chosen, router": ([200], [0.2817]),
            "55555555: max_score": ([300], [0.3]),
            "55555555: random": ([100, 300], [0.11, 0.3]),
            "55555555: oracle": ([100, 200], [0.11, 0.35]),
            "55555555: exits alone": ([100, 300], [0.11, 0.3]),
            "55555555: static models/still": ([250], [0.22]),
        }

    def test_exit_rates_are_pieces_of_bars(self, page):
        pieces = {
            bar["name"]: dict(zip(bar["y"], bar["x"], strict=True))
            for bar in page.figures["Where images leave"]["data"]
        }
        evaluated, tuned = "evaluate toy, seed 1<br>(44444444)", "tune toy, seed 1<br>(55555555)"
        assert pieces == {
            "exit1": {evaluated: 0.3125, tuned: 0.5},
            "exit2": {evaluated: 0.125},
            "full": {evaluated: 0.5625, tuned: 0.5},
        }

    def test_class_bars(self, folders, page):
        bars = {bar["name"]: bar for bar in page.figures["AP of each class at each exit"]["data"]}
        for name in EXITS:
            runs, classes = bars[name]["x"]
            assert classes == ["chair", "tv"] * 4
            expected = [
                json_of(folder)["exits"][name]["per_class"][label]
                for folder in folders[:4]
                for label in ("chair", "tv")
            ]
            assert bars[name]["y"] == expected
            assert len(set(runs)) == 4

    def test_many_classes_get_a_chart_for_each_run(self, tmp_path):
        folders = []
        for run_id in ("aaaaaaaa", "bbbbbbbb"):
            folder = make_run(tmp_path, "evaluate", run_id)
            metrics = measured("test", {"full": 0.5})
            metrics["exits"]["full"]["per_class"] = {f"thing{number}": number / 16 for number in range(7)}
            put(folder, "metrics.json", metrics)
            folders.append(folder)
        figures = page_of(folders, tmp_path).figures
        for run_id in ("aaaaaaaa", "bbbbbbbb"):
            (bar,) = figures[f"AP: evaluate ({run_id})"]["data"]
            assert dict(zip(bar["x"], bar["y"], strict=True)) == {f"thing{number}": number / 16 for number in range(7)}

    def test_means_over_seeds_are_bars_with_their_interval(self, page):
        (bars,) = page.figures["Mean AP over seeds on 40 val images, with 95 % t-intervals"]["data"]
        assert bars["x"] == list(EXITS)
        for place, name in enumerate(EXITS):
            values = [aps[name] for aps in APS.values()]
            half = 4.302652729911275 * statistics.stdev(values) / math.sqrt(3)
            assert bars["y"][place] == pytest.approx(statistics.fmean(values))
            assert bars["error_y"]["array"][place] == pytest.approx(half)

    def test_an_exit_has_one_colour_everywhere(self, page):
        colours = {bar["name"]: bar["marker"]["color"] for bar in page.figures["Where images leave"]["data"]}
        assert len(set(colours.values())) == 3
        assert {
            bar["name"]: bar["marker"]["color"] for bar in page.figures["AP of each class at each exit"]["data"]
        } == colours
        exits = next(t for t in page.figures["On 40 test images (test.json)"]["data"] if t["name"].endswith("exits"))
        assert dict(zip(exits["text"], exits["marker"]["color"], strict=True)) == colours


class TestWholePage:
    def test_nothing_comes_from_outside(self, folders, root, tmp_path):
        paint(folders[0] / "figures" / "epoch_002" / "exits.png", (64, 48))
        text = render_page([read_reported(folder) for folder in folders], root, 4, "")
        page = Page.of(text)
        addresses = [
            value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data", "poster")
        ]
        assert addresses
        assert all(address.startswith(("#", "data:")) for address in addresses)
        assert not any(tag in ("iframe", "object", "embed", "base") for tag, _, _ in page.attributes)
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
        assert "url(" not in style
        assert "@import" not in style
        links = [value for tag, name, value in page.attributes if (tag, name) == ("link", "rel")]
        assert links == ["icon"]

    def test_names_are_text_and_nothing_more(self, tmp_path):
        evil = '</script><script>alert("x")</script><b>&amp;\'"'
        aps = dict.fromkeys(EXITS, 0.25)
        command = f"cascade-exit train experiment={evil.replace(' ', '')}"
        folder = train_run(
            tmp_path, "66666666", 1, aps, command=command, state="failed", error=evil, warnings=[f"beware of {evil}"]
        )
        metrics = measured("val", aps)
        for of_exit in metrics["exits"].values():
            of_exit["per_class"] = {evil: 0.5}
        put(folder, "metrics.json", metrics)
        tame = page_of([train_run(tmp_path, "77777777", 1, aps)], tmp_path)
        page = page_of([folder], tmp_path)
        assert len(page.scripts) == len(tame.scripts) == 2
        assert [tag for tag, _, _ in page.attributes].count("b") == 0
        assert page.text.count(evil) >= 3
        assert f"beware of {evil}" in page.text
        # Plotly reads tags in the text of labels, so they are text there too.
        (bar, *_) = page.figures["AP of each class at each exit"]["data"]
        assert bar["x"] == ['&lt;/script&gt;&lt;script&gt;alert("x")&lt;/script&gt;&lt;b&gt;&amp;amp;\'"']

    def test_json_in_a_script_cannot_end_it(self):
        value = {"name": "</script><!-- & -->"}
        text = script_json(value)
        assert not set(text) & set("<>&")
        assert json.loads(text) == value

    def test_every_link_inside_the_page_leads_somewhere(self, page):
        ids = {value for _, name, value in page.attributes if name == "id"}
        assert {value[1:] for _, name, value in page.attributes if name == "href" and value.startswith("#")} <= ids

    def test_provenance_of_each_run(self, folders, page):
        for folder in folders:
            assert str(folder) in page.text
        assert page.text.count("1234567890abcdef" * 2) == len(folders)
        for words in (
            "box: a processor, 2 cores, 24.0 GiB",
            "torch 2.15.0",
            "cascade-exit train experiment=toy seed=2",
            "c" * 64,
        ):
            assert words in page.text

    def test_an_unfinished_run_is_shown_as_it_stands(self, tmp_path, folders):
        # Says "running", but no process has it open.
        folder = train_run(tmp_path, "88888888", 1, APS["11111111"], state="running")
        (folder / "metrics.json").unlink()
        page = page_of([folder, folders[1]], tmp_path)
        assert "Not finished: 88888888" in re.sub(r"\s+", " ", page.text)
        assert "killed 3 epochs on record" in page.row("toy, seed 1")
        assert not any(run == "88888888" for _, run in page.numbers)
        assert len(page.figures["AP of full on val"]["data"]) == 2

    def test_damaged_files_are_named(self, tmp_path):
        folder = train_run(tmp_path, "99999999", 1, APS["11111111"])
        (folder / "metrics.json").write_text("{")
        with pytest.raises(UserError, match=r"made-99999999/metrics.json: not readable as JSON"):
            read_reported(folder)
        (folder / "metrics.json").write_text("[]")
        with pytest.raises(UserError, match="holds no JSON object"):
            read_reported(folder)


class TestPictures:
    def test_they_are_inside_and_smaller(self, tmp_path):
        folders = [make_run(tmp_path, "evaluate", run_id) for run_id in ("aaaaaaaa", "bbbbbbbb")]
        paint(folders[0] / "figures" / "exits.png", (2400, 300))
        paint(folders[0] / "figures" / "trade_off.png", (40, 30), seed=1)  # drawn anew
        paint(folders[1] / "figures" / "exits.png", (2400, 300))
        paint(folders[1] / "figures" / "epoch_000" / "exits.png", (40, 30), seed=2)
        paint(folders[1] / "figures" / "epoch_001" / "exits.png", (80, 60), seed=3)
        page = page_of(folders, tmp_path)
        images = [Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))) for uri in page.pictures]
        assert [image.size for image in images] == [(1200, 150), (80, 60)]
        # The same picture of two runs is there once, under both names.
        assert "aaaaaaaa, bbbbbbbb" in re.sub(r"\s+", " ", page.text)
        assert page_of(folders, tmp_path, pictures=0).pictures == []

    def test_the_budget_is_kept_and_every_run_has_its_turn(self, tmp_path, monkeypatch):
        folders = [make_run(tmp_path, "evaluate", run_id) for run_id in ("aaaaaaaa", "bbbbbbbb")]
        for place, folder in enumerate(folders):
            for name in ("exits", "leaving"):
                paint(folder / "figures" / f"{name}.png", (200, 200), seed=10 * place + len(name))
        monkeypatch.setattr(picture_room, "BUDGET_BYTES", 100_000)
        shown, left_out = picture_room.collect_pictures([read_reported(folder) for folder in folders], 4)
        sizes = [len(base64.b64decode(picture.uri.partition("base64,")[2])) for picture in shown]
        assert min(sizes) > 20_000
        assert sum(sizes) <= 100_000
        assert left_out == 4 - len(shown)
        assert [picture.name for picture in shown[:1]] == ["exits"]
        assert {picture.runs[0].id for picture in shown} == {"aaaaaaaa", "bbbbbbbb"}
        assert f"{left_out} pictures are left out" in page_of(folders, tmp_path).text

    def test_a_picture_that_cannot_be_read_is_left_out(self, tmp_path):
        folder = make_run(tmp_path, "evaluate", "aaaaaaaa")
        (folder / "figures").mkdir()
        (folder / "figures" / "exits.png").write_bytes(b"half of it")
        assert page_of([folder], tmp_path).pictures == []


def test_rules_thresholds_calibration_and_certificate_of_policy_json(tmp_path):
    tuned = tune_run(tmp_path, "55555555", "11111111")
    certificate = {
        "loss": "recall",
        "method": "ucb",
        "epsilon": 0.05,
        "delta": 0.1,
        "bound": 0.04871,
        "mean_loss": 0.0211,
        "images": 321,
    }
    logistic = LogisticRule(("certainty", "top_mean"), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0), 0.0, threshold=0.6251)
    policy = Policy(
        model="m",
        classes=("chair", "tv"),
        rules={"exit1": logistic, "exit2": ThresholdRule("mid_scores", -0.0123456)},
        calibration={"exit1": ExitCalibration(0.4321, ((0.0, 0.0), (0.5, 0.4), (1.0, 1.0))), "full": ExitCalibration()},
        exit_rates={"exit1": 0.25, "exit2": 0.125, "full": 0.625},
        tuned_on={"role": "calibrate", "images": 74},
        certificate=certificate,
        name="logistic",
    )
    write_policy(tuned / "policy.json", policy)
    kept = tmp_path / "models" / "toy"
    kept.mkdir(parents=True)
    put(kept, "model.json", {"classes": ["chair", "tv"]})
    always = {"exit1": PerClassRule((0.25, 0.5)), "exit2": ThresholdRule("certainty", -math.inf)}
    write_policy(kept / "policy.json", Policy(model="k", classes=("chair", "tv"), rules=always))
    page = page_of([tuned, kept], tmp_path)
    assert "policy logistic, tuned on 74 calibrate images" in page.text
    head = ["logistic model", "probability, from certainty, top_mean", "0.6251", "T = 0.432, map of 3 knots", "25.0 %"]
    # Long words may break, where the reader of the page puts a blank.
    of_rules = [[cell.strip().replace("_ ", "_") for cell in row] for row in page.rows]
    assert ["exit1", *head] in of_rules
    assert ["exit2", "threshold", "mid_scores", "−0.01235", "as they are", "12.5 %"] in of_rules
    assert ["full", "all that get there", "–", "–", "as they are", "62.5 %"] in of_rules
    assert page.numbers["rules.exit2.threshold", "55555555"] == -0.0123456
    assert page.row("certificate")[1] == (
        "mean recall loss against full at most 0.05 with confidence 90 % "
        "(ucb; bound 0.0487, observed 0.0211, 321 images)"
    )
    per_class = "margin of the 20 best boxes from 0.1 over the threshold of their class (0.250 to 0.500)"
    assert ["exit1", "per class", per_class, "0", "as they are", "–"] in of_rules
    assert ["exit2", "threshold", "certainty", "every image", "as they are", "–"] in of_rules
    assert page.row("certificate", 1)[1] == "none"


def test_another_policy_makes_another_page(tmp_path):
    tuned = tune_run(tmp_path, "55555555", "11111111")
    prints = []
    for threshold in (0.25, 0.5):
        rules = {"exit1": ThresholdRule("certainty", threshold)}
        write_policy(tuned / "policy.json", Policy(model="m", classes=("chair", "tv"), rules=rules))
        prints.append(read_reported(tuned).fingerprint())
    assert prints[0] != prints[1]
