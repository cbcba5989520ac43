"""What follows a training, with stand-ins that have the calls of the real packages and no others."""

import json
import sys
import types

import pytest
import torch
from safetensors.torch import load_file

import cai_lite as cai
from cai_lite.errors import InputError, MissingPackageError
from cai_lite.pipeline.alone import train_file
from cai_lite.training.config import Lora, Loss, TrainingConfig
from cai_lite.training.loop import train
from cai_lite.training.trackers import PACKAGES, TRACKERS, check_installed, settings_of

BASE = {"learning_rate": 5e-3, "batch_size": 4, "lora": Lora(rank=2, dropout=0.1), "loss": Loss("dpo", 0.5)}


def run(student, pairs, out, on_step=None, log=lambda _: None, **settings):
    return train(student, pairs, config=TrainingConfig(**{**BASE, **settings}), out=out, on_step=on_step, log=log)


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


class Written:
    """What a stand-in was given: settings, numbers by step, how it ended, and under which ids it was opened."""

    def __init__(self):
        self.settings, self.steps, self.ended, self.opened = {}, [], [], []


def wandb(written):
    """wandb.init(project, id, name, dir, config, resume, reinit, settings): log(data, step), finish(exit_code)."""

    class Run:
        def log(self, data, step=None):
            written.steps.append((step, data))

        def finish(self, exit_code=None):
            written.ended.append("failed" if exit_code else "finished")

    def init(*, project, id, name, dir, config, resume, reinit, settings):
        assert (resume, reinit) == ("allow", "create_new")
        assert settings["console"] == "off" and settings["disable_git"] and not settings["x_save_requirements"]
        assert settings["host"] == ""
        print("wandb: a line on standard output")
        written.settings = config
        written.opened.append(id)
        return Run()

    return {"wandb": {"init": init, "Settings": dict}}


def mlflow(written):
    """mlflow.MlflowClient and the entities Metric(key, value, timestamp, step) and Param(key, value)."""

    class Client:
        def get_experiment_by_name(self, name):
            assert name == "cai-lite"

        def create_experiment(self, name):
            return "1"

        def create_run(self, experiment_id, run_name=None):
            written.opened.append(run_name)
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

        def update_run(self, run_id, status=None, name=None):
            assert status == "RUNNING"
            written.opened.append(run_id)

        def log_batch(self, run_id, metrics=(), params=(), tags=()):
            assert run_id == "r1"
            written.settings |= dict(params)
            if metrics:
                written.steps.append((metrics[0][3], {key: value for key, value, _, _ in metrics}))

        def set_terminated(self, run_id, status=None):
            written.ended.append(status.lower())

    def metric(key, value, timestamp, step):
        return key, value, timestamp, step

    def param(key, value):
        assert isinstance(value, str)
        return key, value

    return {"mlflow": {"MlflowClient": Client}, "mlflow.entities": {"Metric": metric, "Param": param}}


def trackio(written):
    """trackio.init(project, name, config, ...) -> run.log(metrics, step); trackio.finish()."""

    class Run:
        def log(self, metrics, step=None):
            written.steps.append((step, metrics))

    def init(project, name=None, config=None, resume="never", embed=True, auto_log_gpu=None, auto_log_cpu=None):
        assert (project, resume, embed) == ("cai-lite", "allow", False)
        assert (auto_log_gpu, auto_log_cpu) == (False, False)
        written.settings = config
        written.opened.append(name)
        return Run()

    def finish():
        written.ended.append("finished")

    return {"trackio": {"init": init, "finish": finish}}


def tensorboard(written):
    """torch.utils.tensorboard.SummaryWriter(log_dir, purge_step): add_scalar, add_text, flush, close."""

    class SummaryWriter:
        def __init__(self, log_dir=None, purge_step=None):
            assert log_dir.endswith("tensorboard")
            written.opened.append(purge_step)
            self.last = None

        def add_text(self, tag, text_string, global_step=None):
            rows = [row.strip("|").split("|") for row in text_string.splitlines()[2:]]
            written.settings = dict(rows)

        def add_scalar(self, tag, scalar_value, global_step=None):
            if global_step != self.last:
                self.last = global_step
                written.steps.append((global_step, {}))
            written.steps[-1][1][tag] = scalar_value

        def flush(self):
            pass

        def close(self):
            written.ended.append("finished")

    return {"tensorboard": {}, "torch.utils.tensorboard": {"SummaryWriter": SummaryWriter}}


STANDINS = {"wandb": wandb, "mlflow": mlflow, "trackio": trackio, "tensorboard": tensorboard}


@pytest.fixture
def stand_in(monkeypatch):
    for variable in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME", "TRACKIO_PROJECT"):
        monkeypatch.delenv(variable, raising=False)

    def put(name):
        written = Written()
        for module, names in STANDINS[name](written).items():
            made = types.ModuleType(module)
            vars(made).update(names)
            monkeypatch.setitem(sys.modules, module, made)
        return written

    return put


@pytest.fixture(scope="module")
def alone(student, pairs, tmp_path_factory):
    """A training that nobody follows."""
    out = tmp_path_factory.mktemp("alone")
    run(student, pairs, out)
    return out


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_tracker_is_told_the_numbers_of_metrics_jsonl_and_changes_none(
    name, stand_in, student, pairs, tmp_path, alone, capsys
):
    written = stand_in(name)
    run(student, pairs, tmp_path, trackers=(name,))
    said = [(line.pop("step"), line) for line in lines(tmp_path)]
    assert written.steps == said and len(said) == 3
    assert written.ended == ["finished"] and len(written.opened) == 1
    assert str(written.settings["lora.rank"]) == "2" and str(written.settings["loss.name"]) == "dpo"
    assert not [value for value in written.settings.values() if str(tmp_path) in str(value)]
    one, other = (load_file(out / "adapter" / "adapter_model.safetensors") for out in (alone, tmp_path))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_resumed_training_goes_on_in_the_same_run_of_the_tracker(name, stand_in, student, pairs, tmp_path):
    written = stand_in(name)

    def stop(line):
        if line["step"] == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(student, pairs, tmp_path, stop, trackers=(name,), checkpoint_every=1)
    run(student, pairs, tmp_path, trackers=(name,), checkpoint_every=1)
    assert [step for step, _ in written.steps] == [1, 2, 2, 3]
    assert written.ended[-1] == "finished" and len(written.ended) == 2
    assert written.ended[0] == ("failed" if name in ("wandb", "mlflow") else "finished")
    if name == "tensorboard":
        assert written.opened == [None, 2]  # what was logged of step 2 before is purged
    elif name == "mlflow":
        assert written.opened == [tmp_path.name, "r1"]
    else:
        assert written.opened[0] == written.opened[1]
    record = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))
    assert record["finished"] and set(record["trackers"]) == {name}


@pytest.mark.parametrize("where", ["open", "log", "close"])
def test_a_tracker_that_fails_is_said_once_and_the_training_goes_on(
    where, stand_in, student, pairs, tmp_path, monkeypatch
):
    written, said = stand_in("trackio"), []
    other = stand_in("mlflow")
    real = sys.modules["trackio"].init

    def broken(*_, **__):
        raise SystemExit("no network\nand more") if where == "open" else ConnectionError("no network")

    def init(**given):
        made = real(**given)
        monkeypatch.setattr(*((type(made), "log") if where == "log" else (sys.modules["trackio"], "finish")), broken)
        return made

    monkeypatch.setattr(sys.modules["trackio"], "init", broken if where == "open" else init)
    run(student, pairs, tmp_path, log=said.append, trackers=("trackio", "mlflow"))
    warnings = [line for line in said if "tracker" in line]
    assert len(warnings) == 1 and "'trackio' failed" in warnings[0] and "no network" in warnings[0]
    assert len(lines(tmp_path)) == len(other.steps) == 3 and other.ended == ["finished"]
    assert len(written.steps) == (3 if where == "close" else 0)


def test_a_package_that_is_missing_is_named_before_anything_is_opened_or_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in PACKAGES:
        (tmp_path / name).mkdir()  # as wandb and tensorboard leave folders of their own names behind
        monkeypatch.setitem(sys.modules, PACKAGES[name], None)
        with pytest.raises(MissingPackageError, match=r"pip install .*cai-lite\[trackers\]"):
            run("no such model", [], tmp_path / "out", trackers=(name,))
    with pytest.raises(MissingPackageError):
        cai.train("no such model", [], config=TrainingConfig(trackers=("wandb",)), out=tmp_path / "out")
    with pytest.raises(MissingPackageError):
        train_file("no such model", tmp_path / "no pairs", ["train.trackers=[wandb]"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_the_packages_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "notapackage").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PACKAGES, "odd", "notapackage")
    with pytest.raises(MissingPackageError):
        check_installed(["odd"])


def test_an_unknown_tracker_is_told_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'wandb'"):
        TrainingConfig(trackers=("wandbb",))


def test_a_function_is_told_each_line_and_its_random_numbers_change_nothing(student, pairs, tmp_path, alone):
    told = []

    def follow(line):
        torch.rand(7)
        told.append(line)

    run(student, pairs, tmp_path, follow)
    assert told == lines(tmp_path)
    one, other = (load_file(out / "adapter" / "adapter_model.safetensors") for out in (alone, tmp_path))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_train_of_python_takes_the_function(student, pairs, tmp_path):
    told = []
    config = cai.TrainingConfig(max_steps=1, batch_size=2)
    cai.train(student, pairs, config=config, lora=2, out=tmp_path / "out", on_step=told.append)
    assert [line["step"] for line in told] == [1]


def test_a_phase_of_a_run_bears_the_name_of_the_run(stand_in, student, pairs, tmp_path):
    written = stand_in("mlflow")
    run(student, pairs, tmp_path / "medical" / "phases" / "1-dpo", trackers=("mlflow",), max_steps=1)
    assert written.opened == ["medical-1-dpo"]


def test_settings_are_flat_and_hold_no_path():
    found = settings_of(TrainingConfig(init_adapter="/somewhere/adapter", trackers=("wandb",)))
    assert found["learning_rate"] == 2e-5 and found["lora.targets"] == "all-linear" and found["loss.beta"] == 0.1
    assert not {"init_adapter", "trackers"} & found.keys()
    assert all(isinstance(value, (bool, int, float, str)) for value in found.values())
