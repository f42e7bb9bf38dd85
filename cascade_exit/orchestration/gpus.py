"""Which GPU a job gets."""

import os
from collections.abc import Sequence


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES spells them."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None:
        return [name.strip() for name in asked.split(",") if name.strip()]
    import torch  # seconds to import; only asked where several jobs run at a time

    return [str(index) for index in range(torch.cuda.device_count())]


def next_gpu(gpus: Sequence[str], taken: Sequence[str | None]) -> str | None:
    """The GPU with the fewest jobs, the first of equals; None (a job sees what there is) where there are not several.

    Args:
        gpus: all that there are.
        taken: of each running job, what it was given.
    """
    if len(gpus) < 2:
        return None
    return min(gpus, key=lambda gpu: taken.count(gpu))
