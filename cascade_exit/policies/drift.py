"""Live exit rates held against those that the policy was tuned for."""

import math
from collections import Counter
from collections.abc import Mapping

from cascade_exit.policies.policy import Policy

WINDOW = 200
# Chance that one window warns although nothing has changed.
FALSE_ALARM = 1e-4
_HALVINGS = 60


class DriftMonitor:
    """Counts where images exit, and says so when the rates are no longer the expected ones.

    Every `window` images are judged for themselves, so that an early good time does not hide a later drift, and
    fewer are never judged. Both the live rates and the expected ones (of the images that the policy was tuned on)
    are uncertain: each gets its binomial bound (Chernoff, 1952), together wrong once in 1 / FALSE_ALARM windows.
    A drift is reported once; again only after a window without it.

    Args:
        policy: one without expected rates never warns.
        window: images per verdict.

    Raises:
        ValueError: `window` below 1.
    """

    def __init__(self, policy: Policy, window: int = WINDOW) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}")
        self._policy = policy
        self._window = window
        self._counts: Counter[str] = Counter()
        self._drifting = False

    def update(self, counts: Mapping[str, int]) -> str | None:
        """Counts images.

        Args:
            counts: how many left at each exit, by exit name.

        Returns:
            A line for the user when a drift begins; None otherwise.
        """
        self._counts.update(counts)
        if not self._policy.exit_rates or self._counts.total() < self._window:
            return None
        seen, self._counts = self._counts, Counter()
        drifted = self._drifted(seen)
        begins, self._drifting = bool(drifted) and not self._drifting, bool(drifted)
        return self._message(seen, drifted) if begins else None

    def _drifted(self, seen: Counter[str]) -> list[str]:
        rates = self._policy.exit_rates
        names = [*rates, *(name for name in seen if name not in rates)]
        limit = math.log(4 * len(names) / FALSE_ALARM)
        tuned_on = self._policy.tuned_on.get("images")
        tuned_images = int(tuned_on) if isinstance(tuned_on, int | float) and tuned_on >= 1 else self._window
        return [
            name
            for name in names
            if _differs(seen[name] / seen.total(), seen.total(), rates.get(name, 0.0), tuned_images, limit)
        ]

    def _message(self, seen: Counter[str], drifted: list[str]) -> str:
        parts = [
            f"{name} {seen[name] / seen.total():.1%} (expected {self._policy.exit_rates.get(name, 0.0):.1%})"
            for name in drifted
        ]
        return (
            f"exit rates have drifted from those that policy {self._policy.name} was tuned for: of the last "
            f"{seen.total()} images {', '.join(parts)}; tune again on images like these"
        )


def _differs(live: float, live_images: int, expected: float, tuned_images: int, limit: float) -> bool:
    """Whether no true rate within the bound of the expected one is within the bound of the live one."""
    toward = _farthest(expected, live, tuned_images, limit)
    crossed = toward >= live if live > expected else toward <= live
    return not crossed and live_images * _divergence(live, toward) > limit


def _farthest(expected: float, live: float, images: int, limit: float) -> float:
    """The rate farthest from the expected one, toward the live one, that its binomial bound allows."""
    near, far = expected, 1.0 if live > expected else 0.0
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        if images * _divergence(expected, middle) > limit:
            far = middle
        else:
            near = middle
    return near


def _divergence(observed: float, true: float) -> float:
    """Kullback-Leibler divergence of two rates; what bounds a binomial tail."""
    total = 0.0
    for one, two in ((observed, true), (1 - observed, 1 - true)):
        if one > 0:
            total += one * math.log(one / two) if two > 0 else math.inf
    return total
