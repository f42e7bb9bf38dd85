"""The configuration and the page's template are found from a wheel, the configuration from an editable install too."""

import subprocess
import sys
import zipfile

import pytest
from omegaconf import OmegaConf

from tests.conftest import REPOSITORY

CODE = (
    "import cascade_exit, cascade_exit.config.app as app; "
    "print(cascade_exit.__file__); print(app.compose('train', ['experiment=demo'])['model']['input']['size_px'])"
)


def compose_elsewhere(folder, **environment):
    """Composes an experiment with a foreign working directory and -P: only what is installed is found."""
    words = [sys.executable, "-P", "-c", CODE]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_editable_install_reads_the_repository_s_conf(tmp_path):
    answer = compose_elsewhere(tmp_path)
    if not answer.stdout.startswith(str(REPOSITORY)):
        pytest.skip("this environment has no editable install of this repository")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split()[1] == demo_size()


def demo_size():
    return str(OmegaConf.load(REPOSITORY / "conf" / "experiment" / "demo.yaml").model.input.size_px)


@pytest.mark.slow
def test_wheel_holds_every_yaml_and_composes(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, REPOSITORY], check=True, capture_output=True
    )
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        held = {
            name.removeprefix("cascade_exit/conf/")
            for name in archive.namelist()
            if name.startswith("cascade_exit/conf/")
        }
        archive.extractall(tmp_path / "site")
    ours = {
        str(path.relative_to(REPOSITORY / "conf"))
        for path in (REPOSITORY / "conf").rglob("*.yaml")
        if "local" not in path.parts
    }
    assert ours <= held
    assert not any(name.startswith("local/") and name.endswith(".yaml") for name in held)
    answer = compose_elsewhere(tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert answer.returncode == 0, answer.stderr
    place, size_px = answer.stdout.split()
    assert place.startswith(str(tmp_path))
    assert size_px == demo_size()
    words = [sys.executable, "-P", "-m", "cascade_exit.apps.report", f"runs=[{REPOSITORY / 'models' / 'chair'}]"]
    reported = subprocess.run(
        words, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True
    )
    assert reported.returncode == 0, reported.stderr
    assert "models/chair" in (tmp_path / reported.stdout.strip() / "report.html").read_text()
