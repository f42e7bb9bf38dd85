"""Seeds, settings and the scorecard, against closed forms and by hand."""

import math
from pathlib import Path

import pytest

from cascade_exit.report.page import Lineage, read_reported
from cascade_exit.report.page.differences import IDLE, differences
from cascade_exit.report.page.scorecard import TARGETS, judge
from cascade_exit.report.page.seeds import Mean, group_means, seeds_table, t_quantile
from tests.report.made_runs import EXITS, SET, evaluate_run, make_run, put, train_run, tune_run

APS = [dict.fromkeys(EXITS, ap) for ap in (0.1, 0.2, 0.3)]


def lineage_of(folders, root: Path) -> Lineage:
    return Lineage([read_reported(folder) for folder in folders], root)


def ids(groups) -> list[list[str]]:
    return [[run.id for run in group] for group in groups]


class TestInterval:
    def test_quantiles_are_the_closed_forms(self):
        # One, two and four degrees of freedom can be inverted by hand (Shaw, 2006).
        share = 0.975
        alpha = 4 * share * (1 - share)
        assert t_quantile(1) == pytest.approx(math.tan(math.pi * (share - 0.5)), rel=1e-9)
        assert t_quantile(2) == pytest.approx(2 * (share - 0.5) * math.sqrt(2 / alpha), rel=1e-9)
        four = math.cos(math.acos(math.sqrt(alpha)) / 3) / math.sqrt(alpha)
        assert t_quantile(4) == pytest.approx(2 * math.sqrt(four - 1), rel=1e-9)

    @pytest.mark.parametrize(("freedom", "tabled"), [(3, 3.182446), (5, 2.570582), (10, 2.228139), (29, 2.045230)])
    def test_quantiles_are_those_of_the_tables(self, freedom, tabled):
        assert t_quantile(freedom) == pytest.approx(tabled, abs=1e-6)

    def test_mean_and_interval(self):
        mean = Mean.of([0.1, 0.2, 0.3])
        half = 4.302652729911275 * 0.1 / math.sqrt(3)
        assert (mean.mean, mean.low, mean.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half), rel=1e-9)


class TestGroups:
    def test_runs_that_differ_in_the_seed_alone(self, tmp_path):
        folders = [train_run(tmp_path, f"{seed}" * 8, seed, aps) for seed, aps in zip((2, 1, 3), APS, strict=True)]
        folders.append(train_run(tmp_path, "44444444", 1, APS[0], channels=128))
        lineage = lineage_of(folders, tmp_path)
        (group,) = lineage.seed_groups()
        assert ids([group]) == [["11111111", "22222222", "33333333"]]
        means = group_means(group)
        assert means["exits.full.AP"].values == (0.2, 0.1, 0.3)
        assert means["exits.full.AP"].mean == pytest.approx(0.2)
        assert not any(path.startswith("policy") for path in means)
        rows = {row[0].text: row for row in seeds_table([group], lineage).rows}
        half = 4.302652729911275 * 0.1 / math.sqrt(3)
        assert rows["exits.full.AP"][3].text == f"{0.2 - half:.3f} to {0.2 + half:.3f}".replace("-", "−")
        assert rows["exits.full.AP"][5].text == "0.200, 0.100, 0.300"
        assert "toy, channels 64: seeds 1, 2, 3 (11111111, 22222222, 33333333)" in rows

    def test_one_seed_has_no_interval(self, tmp_path):
        lineage = lineage_of([train_run(tmp_path, "11111111", 1, APS[0])], tmp_path)
        assert lineage.seed_groups() == []

    def test_other_data_or_other_parents_are_no_seeds_of_each_other(self, tmp_path):
        folders = [train_run(tmp_path, "11111111", 1, APS[0])]
        folders.append(
            make_run(
                tmp_path, "train", "22222222", identity={"seed": 2, "model": {"exits": {"exit1": {"channels": 64}}}}
            )
        )
        assert lineage_of(folders, tmp_path).seed_groups() == []

    def test_evaluations_take_the_seed_of_their_model(self, tmp_path):
        for seed in (1, 2):
            train_run(tmp_path, f"{seed}" * 8, seed, APS[0])
        folders = [
            evaluate_run(tmp_path, f"e{seed}" * 4, f"{seed}" * 8, APS[seed], parents=[f"{seed}" * 8, f"t{seed}" * 4])
            for seed in (1, 2)
        ]
        for seed in (1, 2):
            tune_run(tmp_path, f"t{seed}" * 4, f"{seed}" * 8)
        lineage = lineage_of(folders, tmp_path)
        assert ids(lineage.seed_groups()) == [["e1e1e1e1", "e2e2e2e2"]]
        assert [lineage.seed(run) for run in lineage.runs] == [1, 2]
        assert [lineage.experiment(run) for run in lineage.runs] == ["toy", "toy"]

    def test_another_policy_on_the_same_model_is_no_other_seed(self, tmp_path):
        train_run(tmp_path, "11111111", 1, APS[0])
        data = {"test": SET["test"], "model": "m"}
        folders = [
            evaluate_run(tmp_path, f"e{n}" * 4, "11111111", APS[n], data=data | {"policy": str(n)}) for n in (1, 2)
        ]
        assert lineage_of(folders, tmp_path).seed_groups() == []

    def test_unfinished_runs_are_not_averaged(self, tmp_path):
        folders = [
            train_run(tmp_path, "11111111", 1, APS[0]),
            train_run(tmp_path, "22222222", 2, APS[1], state="failed"),
        ]
        assert lineage_of(folders, tmp_path).seed_groups() == []


class TestDifferences:
    def test_only_what_differs_and_what_it_is(self, tmp_path):
        folders = [train_run(tmp_path, "11111111", 1, APS[0]), train_run(tmp_path, "22222222", 2, APS[1], channels=128)]
        changed = read_reported(folders[1])
        changed.config["workers"] = 4  # type: ignore[index]
        changed.config["rate"] = None  # type: ignore[index]
        changed.data["val"] = "e" * 64  # type: ignore[index]
        found = [(each.key, each.values, each.group) for each in differences([read_reported(folders[0]), changed])]
        assert found == [
            ("seed", ("1", "2"), "run"),
            ("model.exits.exit1.channels", ("64", "128"), "model"),
            ("inputs.val", ("a" * 16, "e" * 16), "inputs"),
            ("workers", ("0", "4"), IDLE),
            ("rate", (None, "null"), IDLE),
        ]

    def test_equal_numbers_and_places_are_no_difference(self, tmp_path):
        one = make_run(tmp_path / "here", "train", "11111111", identity={"rate": 1.0, "lr": 0.1, "on": True})
        other = make_run(tmp_path / "there", "train", "22222222", identity={"rate": 1, "lr": 0.10000000001, "on": True})
        (found,) = differences([read_reported(one), read_reported(other)])
        assert (found.key, found.values) == ("lr", ("0.1", "0.10000000001"))


class TestScorecard:
    @pytest.fixture
    def verdicts(self, tmp_path):
        run = read_reported(evaluate_run(tmp_path, "44444444", "models/x", APS[0]))
        return {target.words + target.path: judge(target, run) for target in TARGETS}

    def test_verdicts(self, verdicts):
        tones = {words: (cell.text, cell.tone) for words, cell in verdicts.items()}
        assert tones == {
            "25–35 % leave at exit 1policy.exit_rates.exit1": ("31.2 %", "good"),
            "40–50 % leave at exit 2policy.exit_rates.exit2": ("12.5 %", "bad"),
            "15–25 % go to the endpolicy.exit_rates.full": ("56.2 %", "bad"),
            "more than 60 % leave earlyearly": ("43.8 %", "bad"),
            "then 70–80 % leave earlyearly": ("43.8 %", "bad"),
            "speedup 1.8–2.5x, in MACspolicy.speedup_macs": ("1.91x", "good"),
            "the same on the clockpolicy.speedup_latency": ("not measured", "faint"),
            "then 2–3x, in MACspolicy.speedup_macs": ("1.91x", "bad"),
            # 4.1 %, but anything from 2.1 to 6.8 % may be.
            "AP drop below 5 %policy.relative_ap_drop": ("4.1 %", "open"),
            "then below 3 %policy.relative_ap_drop": ("4.1 %", "open"),
        }

    def test_more_speed_than_asked_for_is_reached_but_more_at_one_exit_is_not(self, tmp_path):
        folder = evaluate_run(tmp_path, "44444444", "models/x", APS[0])
        run = read_reported(folder)
        policy = dict(run.metrics["policy"]) | {
            "speedup_macs": 9.0,
            "exit_rates": {"exit1": 0.9, "exit2": 0.1, "full": 0.0},
        }
        put(folder, "metrics.json", dict(run.metrics) | {"policy": policy})
        found = {target.words: judge(target, read_reported(folder)).tone for target in TARGETS}
        assert found["then 2–3x, in MACs"] == found["then 70–80 % leave early"] == "good"
        assert found["25–35 % leave at exit 1"] == found["15–25 % go to the end"] == "bad"
