"""The configuration is found from a wheel and from an editable install."""

import subprocess
import sys
import zipfile

import pytest

from tests.conftest import REPOSITORY


def test_editable_install_reads_the_repository_s_conf():
    from importlib.resources import files

    names = {path.name for path in files("cascade_exit.conf").iterdir()}
    assert {"train.yaml", "evaluate.yaml", "experiment"} <= names


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
    code = (
        "import cascade_exit, cascade_exit.config.app as app; "
        "print(cascade_exit.__file__); print(app.compose('train', ['experiment=demo'])['model']['input']['size_px'])"
    )
    # -P and a foreign working directory: nothing of the repository may be found but through the wheel.
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    place, size_px = answer.stdout.split()
    assert place.startswith(str(tmp_path))
    assert size_px == "192"
