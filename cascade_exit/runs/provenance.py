"""Where a number comes from: code, versions and machine."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "cascade-exit",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "numpy",
    "pycocotools",
    "hydra-core",
    "safetensors",
    "pillow",
    "wandb",
    "onnx",
    "onnxruntime",
    "openvino",
)

_PLACES = (":/cascade_exit", ":/conf")  # from the top of the repository; where what can change a result lies


@dataclass(frozen=True)
class GitState:
    """The commit that the code was at, and whether code or settings had been changed since."""

    sha: str
    dirty: bool


@dataclass(frozen=True)
class Machine:
    """What a run ran on; memory in GiB, cores as this process may use them."""

    host: str
    cpu: str
    cores: int
    memory_gib: float
    gpus: tuple[str, ...]


def git_state(source: Path = Path(__file__)) -> GitState | None:
    """Give the state of the git repository that tracks ``source``.

    Args:
        source: A source file.

    Returns:
        None when git is absent or does not track the file, as in an installed wheel.
    """
    folder = source.resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", source.name) is None:
        return None
    sha = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *_PLACES)
    if sha is None or changes is None:
        return None
    return GitState(sha=sha, dirty=bool(changes))


@cache
def code_changed(then: GitState, now: GitState, source: Path = Path(__file__)) -> bool:
    """Tell whether two commits differ in what can change a result: the package and its settings, not docs or tests.

    Args:
        then: The one.
        now: The other.
        source: A source file of the repository.

    Returns:
        True as well where git cannot compare them, as when one was made elsewhere.
    """
    if then.sha == now.sha:
        return False
    return _git(source.resolve().parent, "diff", "--quiet", then.sha, now.sha, "--", *_PLACES) is None


def package_versions() -> dict[str, str]:
    """Give the versions of Python and of the installed packages that a result may depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def this_machine() -> Machine:
    """Describe the machine: processor, cores, memory and GPUs."""
    return Machine(
        host=platform.node(),
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        gpus=_gpu_names(),
    )


def utc_now() -> str:
    """Give the time now as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _gpu_names() -> tuple[str, ...]:
    # Imported here: listing runs should not wait seconds for torch.
    import torch

    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
