# SPDX-License-Identifier: Apache-2.0
"""lamella.ray in a real Ray of two processors: Keras' numbers, columns that do not fit, an actor that is killed; docs/ray.md's service in Ray Serve.

Runs under pytest, by scripts/test-serving.
"""
import doctest
import json
import os
import pathlib
import re
import signal
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
import ray
from ray import serve

import lamella
import lamella.ray
import models
import waits
from lamella.ray import BatchPredictor
from models import close


@pytest.fixture(scope="session", autouse=True)
def service(tmp_path_factory):
    """Ray, and the module service of docs/ray.md, which its workers can import. The GPU is a number in Ray's books: there is none."""
    folder = tmp_path_factory.mktemp("page")
    page = (models.ROOT / "docs/ray.md").read_text(encoding="utf-8")
    (folder / "service.py").write_text(re.search(r'^```python title="service.py"\n(.*?)^```$', page, re.M | re.S)[1], encoding="utf-8")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{pathlib.Path(__file__).parent}"  # of the workers
    os.environ.update(waits.OF_RAY)
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    import service as made
    yield made
    ray.shutdown()


def predicted(columns, source, predictor=BatchPredictor, actors=2, batch_size=8, blocks=4, resources=None, **named):
    """Rows of columns, by id, through map_batches, and their columns."""
    columns = {"id": np.arange(len(next(iter(columns.values())))), **columns}
    ds = ray.data.from_items([dict(zip(columns, row)) for row in zip(*columns.values())], override_num_blocks=blocks)
    ds = ds.map_batches(predictor, fn_constructor_args=[source], fn_constructor_kwargs={"keep": ["id"], **named}, batch_size=batch_size,
                        compute=ray.data.ActorPoolStrategy(size=actors), **(resources or {"num_cpus": 1}))
    rows = sorted(ds.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(columns["id"]), "rows lost or there twice"
    return {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "id"}


def repeated(case, rows):
    """The inputs and outputs of a case, `rows` rows of each."""
    at = np.arange(rows) % len(case.outputs[0])
    return {name: array[at] for name, array in case.inputs.items()}, {name: y[at] for name, y in zip(case.output_names, case.outputs)}


@pytest.mark.parametrize("case", [models.mlp(), models.case("keras3", "graph"), models.case("keras3", "several_inputs_outputs")],
                         ids=lambda case: case.name)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_data_set(case, as_bytes):
    inputs, outputs = repeated(case, 50)
    got = predicted({**inputs, "other": np.array(["text"] * 50)}, case.file.read_bytes() if as_bytes else str(case.file))
    assert set(got) == set(outputs)
    for name, y in outputs.items():
        assert close(got[name], y, case.dtype), name


@ray.remote(num_cpus=1)
class Worker:
    """BatchPredictor in an actor without map_batches: a model for each call."""

    def predict(self, file, batch):
        writable = [name for name, array in batch.items() if array.flags.writeable]
        return writable, BatchPredictor(file)(batch)


def test_every_fixture():
    """Arrays as Ray hands them out, which are read-only."""
    worker, count = Worker.remote(), 0
    for case in models.cases("keras3") + models.cases("keras2"):
        if len(set(case.output_names)) < len(case.output_names) or "dict" in case.name:
            continue
        writable, got = ray.get(worker.predict.remote(str(case.file), ray.put({name: array for name, array in case.inputs.items()})))
        assert not writable
        assert list(got) == case.output_names, case.name
        for name, y in zip(case.output_names, case.outputs):
            assert close(got[name], y, case.dtype), (case.name, name)
        count += 1
    assert count > 50


class Dies(BatchPredictor):
    """Is killed in the middle of the batch with row 20, once."""

    def __init__(self, source, marker, **named):
        super().__init__(source, **named)
        self.marker = marker

    def __call__(self, batch):
        if 20 in batch["id"]:
            try:
                pathlib.Path(self.marker).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


def test_an_actor_that_is_killed(tmp_path):
    case, marker = models.mlp(), tmp_path / "died"
    inputs, outputs = repeated(case, 200)
    got = predicted(inputs, str(case.file), Dies, marker=str(marker), blocks=8)
    assert marker.exists()
    assert close(got["digit"], outputs["digit"])


class Tells(BatchPredictor):
    def __call__(self, batch):
        options = self.model._options
        return {"id": batch["id"], "device": [options["device"]] * len(batch["id"]), "threads": [options["threads"]] * len(batch["id"])}


@pytest.mark.parametrize("cpus, named, threads", [(1, {}, 1), (2, {}, 2), (0.5, {}, 1), (2, {"threads": 1}, 1)])
def test_an_actor_has_as_many_threads_as_processors(cpus, named, threads):
    got = predicted({"x": np.zeros(4)}, str(models.mlp().file), Tells, actors=1, resources={"num_cpus": cpus}, **named)
    assert set(got["device"]) == {"cpu"} and set(got["threads"]) == {threads}


def test_an_actor_with_a_gpu_never_computes_on_the_cpu():
    assert lamella.ray.options_of({"CPU": 3.0, "GPU": 0.25}) == {"device": "cuda:0", "threads": 3}
    assert lamella.ray.options_of({"GPU": 1.0}) == {"device": "cuda:0", "threads": 1}
    inputs, outputs = repeated(models.mlp(), 4)
    on_gpu = {"actors": 1, "resources": {"num_gpus": 1}}
    if not lamella.why_no_cuda():
        assert close(predicted(inputs, str(models.mlp().file), **on_gpu)["digit"], outputs["digit"])
        return
    with pytest.raises(Exception) as caught:
        predicted(inputs, str(models.mlp().file), **on_gpu)
    assert "DeviceError" in str(caught.value) and "E_" in str(caught.value)


@pytest.mark.parametrize("columns, words", [
    ({"picture": np.zeros((4, 784))}, ["input 'pixels': the batch has no such column; its columns: 'id', 'picture' [E_MISSING]"]),
    ({"pixels": np.zeros((4, 783))}, ["pixels", "783", "784", "[E_SHAPE]"]),
])
def test_columns_that_do_not_fit_reach_the_driver(columns, words):
    with pytest.raises(Exception) as caught:
        predicted(columns, str(models.mlp().file), actors=1)
    assert all(word in str(caught.value) for word in ["ArgumentError", *words])


def test_a_file_that_does_not_load_reaches_the_driver():
    with pytest.raises(Exception) as caught:
        predicted({"pixels": np.zeros((4, 784))}, b"no model", actors=1)
    assert "LoadError" in str(caught.value) and "[E_ARCHIVE]" in str(caught.value)


def test_batches_that_do_not_fit():
    mlp, good = BatchPredictor(models.mlp().file, keep=["id"]), {"id": np.arange(2), "pixels": np.zeros((2, 784), "float32")}
    assert mlp(good)["digit"].shape == (2, 10)
    assert mlp({name: array[:0] for name, array in good.items()})["digit"].shape == (0, 10)
    ragged = np.array([np.zeros(784), np.zeros(3)], dtype=object)
    for bad, words in (({"pixels": good["pixels"]}, ["keep: 'id'", "'pixels'", "[E_MISSING]"]),
                       (good | {"pixels": np.zeros(2)}, ["pixels", "[E_SHAPE]"]),
                       (good | {"pixels": np.zeros((2, 28, 28))}, ["pixels", "[E_SHAPE]"]),
                       (good | {"pixels": ragged}, ["pixels", "object", "[E_DTYPE]"]),
                       (good | {"pixels": np.full((2, 784), "a")}, ["pixels", "<U1", "[E_DTYPE]"]), ([1], ["type list", "batch_format"])):
        with pytest.raises(lamella.ArgumentError) as caught:
            mlp(bad)
        assert all(word in str(caught.value) for word in words), str(caught.value)
    two = BatchPredictor(models.case("keras3", "graph").file)
    a, b = models.case("keras3", "graph").inputs.values()
    with pytest.raises(lamella.ArgumentError, match="'b': the batch has no such column"):
        two({"a": a})
    with pytest.raises(lamella.ArgumentError):
        two({"a": a, "b": b[:1]})


def test_columns_of_one_name_are_refused():
    for keep, words in ((["digit"], "'digit' would be there twice"), (["id", "id"], "'id' would be there twice"), ("id", "expected a list")):
        with pytest.raises(lamella.ArgumentError, match=words):
            BatchPredictor(models.mlp().file, keep=keep)


def test_docstrings():
    assert doctest.testmod(lamella.ray).failed == 0


# Ray Serve.


def post(port, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/digits", data=body if isinstance(body, bytes) else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=waits.LIMIT) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@pytest.fixture(scope="module")
def port(service, tmp_path_factory):
    from server import free_ports  # not in every worker that imports this file: Triton's clients come with it
    folder, (port,) = tmp_path_factory.mktemp("served"), free_ports(1)
    waits.patiently(lambda: serve.start(http_options={"host": "127.0.0.1", "port": port}))
    file = folder / "digits.keras"
    file.write_bytes(models.mlp().file.read_bytes())
    waits.patiently(lambda: service.deploy(str(file)))
    yield port
    serve.shutdown()


def test_requests_that_do_not_fit(port):
    x, wanted = models.mlp().inputs["pixels"][:2].tolist(), models.mlp().outputs[0][:2]
    for body, words in (({"picture": x}, ["picture", "pixels"]), ({"pixels": [row[1:] for row in x]}, ["783", "784"]),
                        ({"pixels": [x[0], x[1][1:]]}, []), ({"pixels": "text"}, ["pixels"]), ({"pixels": None}, ["pixels"]), ({}, ["pixels"]), (b"{", []), (b"", []), (b"\xff\xfe", []),
                        (1, []), (None, [])):
        status, text = post(port, body)
        assert status == 400 and all(word in text for word in words), (body, status, text)
    post(port, b"[" * 100000)
    status, answer = post(port, {"pixels": x})
    assert status == 200 and close(np.array(answer["digit"], "float32"), wanted)


def test_concurrent_requests_while_models_are_exchanged(port, service, tmp_path):
    """8 clients, 6 reloads of two models in turns and one of a file that does not load: every request has one's numbers or the other's."""
    x = models.mlp().inputs["pixels"]
    first = lamella.load(models.mlp().file, device="cpu")
    second = first.with_weights({"hidden/bias": np.ones(first.layers[1].weights["bias"].shape)})
    answers = [first.predict(x), second.predict(x)]
    assert not close(*answers)
    files = [tmp_path / f"{number}.keras" for number in range(6)]
    for number, file in enumerate(files):
        (second if number % 2 == 0 else first).save(file)
    stop, wrong, counts = threading.Event(), [], [0] * 8

    def client(number):
        draw = np.random.default_rng(number)
        while not stop.is_set():
            at = draw.integers(0, len(x), draw.integers(1, 5))
            try:
                status, answer = post(port, {"pixels": x[at].tolist()})
                if status != 200 or not any(close(np.array(answer["digit"], "float32"), y[at]) for y in answers):
                    wrong.append((number, status, answer))
                counts[number] += 1
            except Exception as error:  # a client that ends early would be taken for one that was answered
                wrong.append((number, repr(error)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for number, file in enumerate(files):
            waits.patiently(lambda: service.deploy(str(file)))
            status, answer = post(port, {"pixels": x.tolist()})
            assert status == 200 and close(np.array(answer["digit"], "float32"), answers[(number + 1) % 2]), f"after reload {number} the old model answers"
        (tmp_path / "broken.keras").write_bytes(b"no model")
        with pytest.raises(lamella.LoadError):
            service.deploy(str(tmp_path / "broken.keras"))
        waits.until(lambda: min(counts) > 5 or wrong)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, (len(wrong), wrong[:3])
    assert min(counts) > 5, counts
