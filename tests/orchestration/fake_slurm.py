"""Slurm as far as jobs see it: programs on PATH that take scripts, run them when the test says so, and end them."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

_HEAD = (
    f"#!{sys.executable}\nimport os, re, signal, subprocess, sys\nfrom pathlib import Path\nroot = Path({{root!r}})\n"
)
_PROGRAMS = {
    # Keeps the script; runs it at once where the file `open` lies there.
    "sbatch": """
number = str(1000 + len(list(root.glob("*.sh"))))
if (root / "refuses").exists():
    sys.exit("sbatch: error: invalid partition specified: gpu")
(root / f"{number}.sh").write_text(Path(sys.argv[1]).read_text())
(root / f"{number}.waits").touch()
print(f"Submitted batch job {number}")
if (root / "open").exists():
    subprocess.Popen([str(root / "begin"), number], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
""",
    "begin": """
number = sys.argv[1]
log = (root / f"{number}.out").open("ab")
[nodes] = re.findall(r"^#SBATCH --nodes=(\\d+)$", (root / f"{number}.sh").read_text(), re.MULTILINE)
words = {"SLURM_JOB_ID": number, "SLURM_NTASKS": nodes, "SLURM_JOB_NUM_NODES": nodes, "SLURM_JOB_NAME": "x"}
job = subprocess.Popen(["bash", str(root / f"{number}.sh")], stdout=log, stderr=log, env=os.environ | words,
                       start_new_session=True)
(root / f"{number}.runs").write_text(str(job.pid))
(root / f"{number}.waits").unlink()
job.wait()
(root / f"{number}.runs").unlink()
""",
    "srun": """
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[1 if words[0] == "--unbuffered" else 2:]
tasks = []
for rank in range(int(os.environ["SLURM_NTASKS"])):
    place = {"SLURM_NODEID": str(rank), "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0"}
    tasks.append(subprocess.Popen(words, env=os.environ | place))
sys.exit(max(task.wait() for task in tasks))
""",
    "squeue": """
if (root / "silent").exists():
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
print("\\n".join(sorted({path.stem for ending in ("waits", "runs") for path in root.glob(f"*.{ending}")})))
""",
    "scancel": """
number = sys.argv[-1]
with (root / "cancelled").open("a") as notes:
    notes.write(number + "\\n")
(root / f"{number}.waits").unlink(missing_ok=True)
if (root / f"{number}.runs").exists():
    os.killpg(int((root / f"{number}.runs").read_text()), signal.SIGTERM)
""",
}


class FakeSlurm:
    """A folder with the programs, the scripts that were handed in and a file for each job that waits or runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        for name, text in _PROGRAMS.items():
            (root / name).write_text(_HEAD.format(root=str(root)) + text)
            (root / name).chmod(stat.S_IRWXU)
        (root / "open").touch()

    @property
    def scripts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.root.glob("*.sh"))]

    @property
    def cancelled(self) -> list[str]:
        notes = self.root / "cancelled"
        return notes.read_text().split() if notes.exists() else []

    def hold(self) -> None:
        """Lets jobs wait from now on."""
        (self.root / "open").unlink()

    def begin(self, number: str) -> None:
        subprocess.Popen([str(self.root / "begin"), number], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for(self, jobs: int) -> None:
        """Until so many wait in the queue."""
        while len(list(self.root.glob("*.waits"))) < jobs:
            time.sleep(0.02)

    def signal(self, number: str, signum: int) -> None:
        """To every process of the job's script but the script itself, as Slurm does."""
        for pid in _children(int((self.root / f"{number}.runs").read_text())):
            os.kill(pid, signum)


def _children(pid: int) -> list[int]:
    try:
        own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return own + [further for child in own for further in _children(child)]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.root}:{os.environ['PATH']}")
    yield fake
    for path in fake.root.glob("*.runs"):
        fake.signal(path.stem, signal.SIGKILL)
