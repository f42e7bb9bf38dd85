import hashlib
from collections import Counter

import pytest

from cascade_exit.data import SplitConfig
from cascade_exit.data.randomness import derive_seed, unit_hash
from cascade_exit.data.roles import role_of


def test_the_hash_is_that_of_any_machine() -> None:
    digest = int(hashlib.sha256(b"roles/video-s1").hexdigest()[:16], 16)
    assert unit_hash("roles", "video-s1") == (digest >> 11) / 2**53
    assert unit_hash("roles", "video-s1") == pytest.approx(digest / 2**64)
    assert derive_seed("order", 1, 2) == int(hashlib.sha256(b"order/1/2").hexdigest()[:16], 16) >> 1


def test_roles_of_known_groups_never_change() -> None:
    groups = ["video-s1", "video-s2", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
    roles = [role_of(group, SplitConfig(val=0.25, calibrate=0.25)) for group in groups]
    assert roles == [
        "calibrate",
        "train",
        "calibrate",
        "calibrate",
        "train",
        "val",
        "train",
        "calibrate",
        "calibrate",
        "calibrate",
        "train",
        "calibrate",
    ]


def test_shares_are_near_what_is_asked() -> None:
    counts = Counter(role_of(str(group), SplitConfig(val=0.1, calibrate=0.2)) for group in range(20000))
    # Four standard deviations of a binomial count.
    assert counts["val"] == pytest.approx(2000, abs=170)
    assert counts["calibrate"] == pytest.approx(4000, abs=226)
    assert counts["train"] == 20000 - counts["val"] - counts["calibrate"]
    assert "test" not in counts


def test_calibrate_keeps_its_groups_when_the_share_of_val_changes() -> None:
    groups = [str(group) for group in range(500)]
    parts = [
        {group for group in groups if role_of(group, SplitConfig(val=val, calibrate=0.2)) == "calibrate"}
        for val in (0.0, 0.1, 0.5)
    ]
    assert parts[0] == parts[1] == parts[2]


def test_another_salt_makes_another_cut() -> None:
    groups = [str(group) for group in range(200)]
    cuts = [[role_of(group, SplitConfig(salt=salt)) for group in groups] for salt in ("a", "b")]
    assert cuts[0] != cuts[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": -0.1}, "val must be in"),
        ({"calibrate": 1.0}, "calibrate must be in"),
        ({"val": 0.5, "calibrate": 0.5}, "val . calibrate must be below 1"),
    ],
)
def test_impossible_shares_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**values)
