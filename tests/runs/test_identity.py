"""What identifies a run."""

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from cascade_exit.runs.identity import first_differences, identity_hash, identity_of, not_identity


@dataclass(frozen=True)
class Loader:
    batch_size: int = 8
    workers: int = not_identity(2)


@dataclass(frozen=True)
class Config:
    seed: int = 0
    rate: float = 0.1
    loader: Loader = Loader()
    exits: tuple[Loader, ...] = (Loader(),)
    by_name: dict[str, Loader] = field(default_factory=dict)
    root: Path = not_identity(Path("data"))
    tags: list[str] = not_identity(default_factory=list)


def hash_of(config: Config) -> str:
    return identity_hash("train", identity_of(config), {"train": "f00"}, ["0123abcd"])


def test_only_identifying_fields_are_kept_at_every_depth() -> None:
    config = Config(by_name={"exit1": Loader(4, workers=9)})
    assert identity_of(config) == {
        "seed": 0,
        "rate": 0.1,
        "loader": {"batch_size": 8},
        "exits": [{"batch_size": 8}],
        "by_name": {"exit1": {"batch_size": 4}},
    }


def test_not_identity_keeps_the_default() -> None:
    assert Config().root == Path("data")
    assert Config().tags == []
    assert Config().tags is not Config().tags


def test_what_decides_the_result_changes_the_hash() -> None:
    base = Config()
    others = [
        replace(base, seed=1),
        replace(base, rate=0.2),
        replace(base, loader=Loader(batch_size=16)),
        replace(base, exits=()),
        replace(base, by_name={"exit1": Loader()}),
    ]
    assert len({hash_of(config) for config in [base, *others]}) == len(others) + 1


def test_what_does_not_decide_the_result_leaves_the_hash() -> None:
    base = Config()
    assert hash_of(replace(base, root=Path("elsewhere"))) == hash_of(base)
    assert hash_of(replace(base, tags=["x"])) == hash_of(base)
    assert hash_of(replace(base, loader=Loader(workers=7), exits=(Loader(workers=0),))) == hash_of(base)


def test_verb_data_and_parents_change_the_hash() -> None:
    base = identity_hash("train", {"a": 1}, {"train": "f"}, ["p", "q"])
    others = [
        identity_hash("trace", {"a": 1}, {"train": "f"}, ["p", "q"]),
        identity_hash("train", {"a": 1}, {"train": "g"}, ["p", "q"]),
        identity_hash("train", {"a": 1}, {"val": "f"}, ["p", "q"]),
        identity_hash("train", {"a": 1}, {"train": "f"}, ["q", "p"]),
        identity_hash("train", {"a": 1}, {"train": "f"}, []),
    ]
    assert len({base, *others}) == len(others) + 1


def test_the_hash_is_the_sha256_of_the_canonical_json() -> None:
    text = '{"data":{"train":"f"},"identity":{"a":[1,0.5,null,true],"b":"\\u00e4"},"parents":["p"],"verb":"train"}'
    done = subprocess.run(["sha256sum"], input=text, capture_output=True, text=True, check=True)
    assert identity_hash("train", {"b": "ä", "a": (1.0, 0.5, None, True)}, {"train": "f"}, ["p"]) == done.stdout[:8]


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from cascade_exit.runs.identity import identity_hash as h; print(h('v', {'x': {'b': 1, 'a': 'y'}}, {}, []))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == identity_hash("v", {"x": {"a": "y", "b": 1}}, {}, [])


def test_true_is_not_one() -> None:
    assert identity_hash("v", {"a": True}, {}, []) != identity_hash("v", {"a": 1}, {}, [])


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def rewritten(value: Any, chance: random.Random) -> Any:
    """The same value written otherwise: keys in another order, lists as tuples, whole numbers as floats."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {name: rewritten(item, chance) for name, item in items}
    if isinstance(value, list):
        return tuple(rewritten(item, chance) for item in value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@given(identity=st.dictionaries(st.text(), plain_values, max_size=5), seed=st.integers(0, 2**16))
@example(identity={"0": {"0": None, ".": None, "": {"": False}}}, seed=0)  # two values with one dotted key
def test_the_same_values_give_the_same_hash_however_written(identity: dict[str, Any], seed: int) -> None:
    other = rewritten(identity, random.Random(seed))
    assert identity_hash("v", identity, {}, []) == identity_hash("v", other, {}, [])
    assert first_differences(identity, other) == []


@given(
    identity=st.dictionaries(st.text(max_size=3), plain_values, min_size=1, max_size=5),
    value=plain_values,
    data=st.data(),
)
def test_another_value_gives_another_hash_and_is_named(identity: dict[str, Any], value: Any, data: Any) -> None:
    key = data.draw(st.sampled_from(sorted(identity)))
    other = identity | {key: [identity[key], value]}
    assert identity_hash("v", identity, {}, []) != identity_hash("v", other, {}, [])
    assert first_differences(identity, other)


def test_a_list_and_names_that_are_numbers_are_told_apart() -> None:
    assert first_differences({"a": [1]}, {"a": {"0": 1}}) == ["a.0 (absent, there 1)", "a.0 (1, there absent)"]


def test_differences_are_named_by_dotted_key() -> None:
    ours = {"seed": 1, "loss": {"weights": [0.3, 0.7]}, "a": []}
    theirs = {"seed": 2, "loss": {"weights": [0.3, 0.6]}, "b": 1}
    assert first_differences(ours, theirs, limit=9) == [
        "a ([], there absent)",
        "b (absent, there 1)",
        "loss.weights.1 (0.7, there 0.6)",
        "seed (1, there 2)",
    ]
    assert len(first_differences(ours, theirs, limit=2)) == 2


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Path("x"), r"loader\.0\.x is a path"),
        (float("nan"), r"loader\.0\.x must be finite"),
        ({1}, r"loader\.0\.x is of type set"),
        ({1: 2}, r"loader\.0\.x\.1 must have a text key"),
    ],
)
def test_what_cannot_identify_is_refused_with_its_key(value: object, error: str) -> None:
    config = replace(Config(), loader=[{"x": value}])  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match=error):
        identity_of(config)


@pytest.mark.parametrize("config", [{"a": 1}, Config, 3])
def test_only_a_config_dataclass_has_an_identity(config: object) -> None:
    with pytest.raises(TypeError, match="config dataclass"):
        identity_of(config)


def test_no_id_reads_as_a_number_on_the_command_line():
    parser, passed_over = OverridesParser.create(), 0
    for number in range(1500):
        found = identity_hash("train", {"a": number}, {}, [])
        assert isinstance(parser.parse_override(f"run={found}").value(), str)
        content = {"data": {}, "identity": {"a": number}, "parents": [], "verb": "train"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        passed_over += hashlib.sha256(text.encode()).hexdigest()[:8] != found
    assert 20 < passed_over < 90, "all digits: (10/16)^8 = 2.3 %, with one e: as many more by a half"
