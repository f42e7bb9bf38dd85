from cascade_exit.orchestration import Job, sweep_id
from cascade_exit.orchestration.gpus import next_gpu, visible_gpus
from cascade_exit.orchestration.job import command_of, labels


def job(*words: str, verb: str = "train") -> Job:
    return Job(verb, words, {}, {})


def test_the_same_command_is_the_same_sweep():
    ours = sweep_id([job("a=1", "b=1"), job("a=1", "b=2")])
    assert sweep_id([job("b=2", "a=1"), job("b=1", "a=1")]) == ours
    assert sweep_id([job("a=1", "b=1")]) != ours
    assert sweep_id([job("a=1", "b=1", verb="tune"), job("a=1", "b=2", verb="tune")]) != ours
    # Words are not run together.
    assert job("a=1", "b=2").id != job("a=1b=2").id


def test_labels_say_what_differs():
    jobs = [job("experiment=demo", "seed=1"), job("experiment=demo", "seed=2")]
    assert list(labels(jobs).values()) == ["seed=1", "seed=2"]
    assert list(labels(jobs[:1]).values()) == ["experiment=demo seed=1"]


def test_command_is_the_app_s_module():
    assert command_of(job("seed=1"))[1:] == ["-m", "cascade_exit.apps.train", "seed=1"]


def test_gpus(monkeypatch):
    assert next_gpu([], []) is None
    assert next_gpu(["0"], []) is None
    gpus, taken = ["2", "7"], []
    for _ in range(3):
        taken.append(next_gpu(gpus, taken))
    assert taken == ["2", "7", "2"]
    assert next_gpu(gpus, ["2", "2", "7"]) == "7"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")
    assert visible_gpus() == ["4", "6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
