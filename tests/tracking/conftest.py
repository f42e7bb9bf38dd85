"""W&B as it is without an account."""

from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    # Set as well, so that what make_logger sets in the environment is undone after the test.
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture(autouse=True)
def _no_run_left() -> Iterator[None]:
    yield
    import wandb

    if wandb.run is not None:
        wandb.run.finish(exit_code=1)
