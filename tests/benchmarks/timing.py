"""How the benchmarks take times."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """The result, and the least processor time of one call in seconds."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        result = work()
        times.append(time.process_time() - begin)
    return result, min(times)
