# SPDX-License-Identifier: Apache-2.0
"""Other weights: new models and updates in place, against live Keras with these weights."""
import copy
import json
import os
import pickle
import sys
import threading
import types

import keras
import numpy as np
import pytest
from conftest import MLP, cupy_array

import lamella

OPTIONS = {"device": "cpu", "threads": 1}


def changed(model):
    return {f"{layer.path}/{name}": (w * 1.25 + 0.03125).astype(w.dtype) for layer in model.layers for name, w in layer.weights.items()}


def keras_with(weights):
    model = keras.saving.load_model(MLP)
    for layer in model.layers:
        values = [weights[f"{layer.name}/{v.name}"] for v in layer.weights]
        if values:
            layer.set_weights(values)
    return model


def test_answers_are_keras(x):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    before = m(x)
    weights = changed(m)
    want = keras_with(weights)
    assert not m.verify(want, x)
    made = m.with_weights(weights)
    assert made.verify(want, x) and (m(x) == before).all()
    m.update_weights(weights)
    assert m.verify(want, x) and (m(x) == made(x)).all()


def safetensors(path, arrays):
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in arrays.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_files(x, tmp_path):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    weights = changed(m)
    want = m.with_weights(weights)(x)
    np.savez(tmp_path / "w.npz", **weights)
    safetensors(tmp_path / "w.safetensors", {name: ("F32", list(w.shape), w.tobytes()) for name, w in weights.items()})
    for name in ("w.npz", "w.safetensors"):
        assert (m.with_weights(str(tmp_path / name))(x) == want).all()
        fresh = lamella.load(MLP, updatable=True, **OPTIONS)
        fresh.update_weights(tmp_path / name)
        assert (fresh(x) == want).all()
    m.with_weights(weights).save(tmp_path / "w.weights.h5")
    assert (m.with_weights(tmp_path / "w.weights.h5")(x) == want).all()
    with open(tmp_path / "w.npz", "rb") as file:
        (tmp_path / "by_content").write_bytes(file.read())
    assert (m.with_weights(os.fsencode(tmp_path / "by_content"))(x) == want).all()
    bias = weights["digit/bias"]
    halves = (bias.view(np.uint32) >> 16).astype(np.uint16)
    safetensors(tmp_path / "b.safetensors", {"digit/bias": ("BF16", list(bias.shape), halves.tobytes())})
    m.update_weights(tmp_path / "b.safetensors")
    assert (m.layers[-1].weights["bias"] == (halves.astype(np.uint32) << 16).view(np.float32)).all()


@pytest.mark.parametrize("content, words", [(b"", "is empty"), ((1 << 16).to_bytes(8, "little") + b'{"a"', "whose end is missing"),
                                            ((2).to_bytes(8, "little") + b'{"', "JSON|json")])
def test_damaged_safetensors_are_refused(content, words, tmp_path, mlp):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(lamella.LoadError, match=words):
        mlp.with_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("entry", [("F32", [3], b"1234"), ("F32", [-1], b"1234"), ("F4", [1], b"1234")])
def test_damaged_entries_are_refused(entry, tmp_path, mlp):
    safetensors(tmp_path / "w.safetensors", {"hidden/bias": entry})
    with pytest.raises(lamella.LoadError, match="hidden/bias"):
        mlp.with_weights(tmp_path / "w.safetensors")


def test_errors_leave_the_old_weights(x, tmp_path):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    before, weights = m(x), changed(m)
    for bad, error, words in [({**weights, "digit/bias": np.zeros(3)}, lamella.ArgumentError, "'digit/bias': got shape"),
                              ({**weights, "nobody/bias": np.zeros(3)}, lamella.ArgumentError, "no weight is named 'nobody/bias'"),
                              ({**weights, "digit/bias": np.zeros(10, int)}, lamella.ArgumentError, "got int64, allowed floating types"),
                              ({**weights, 3: np.zeros(3)}, TypeError, "a name is a str"),
                              (tmp_path / "none.npz", lamella.FileError, "none.npz"),
                              ([np.zeros(3)], lamella.ArgumentError, "got list, allowed a dict of arrays or the path of a file")]:
        with pytest.raises(error, match=words):
            m.update_weights(bad)
        assert (m(x) == before).all()
    with pytest.raises(lamella.ArgumentError, match="without Options::updatable"):
        lamella.load(MLP, **OPTIONS).update_weights(weights)


def test_pickles_hold_the_weights_of_now(x):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    m.update_weights(changed(m))
    again = pickle.loads(pickle.dumps(m))
    assert (again(x) == m(x)).all()
    again.update_weights(changed(again))
    made = lamella.load(MLP, **OPTIONS).with_weights(changed(m))
    assert (pickle.loads(pickle.dumps(made))(x) == made(x)).all()
    with pytest.raises(lamella.ArgumentError, match="parts of models"):
        pickle.dumps(m.output_of("hidden"))


def test_deep_copies_are_independent(x):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    shallow, target = copy.copy(m), copy.deepcopy(m)
    before, weights = m(x), changed(m)
    m.update_weights(weights)
    after = m(x)
    assert (shallow(x) == after).all() and (target(x) == before).all() and (before != after).any()
    target.update_weights({"digit/bias": np.zeros(10)})
    assert (m(x) == after).all() and not target.layers[-1].weights["bias"].any()
    again = copy.deepcopy(m)
    assert (again(x) == after).all() and again._options == m._options and (pickle.loads(pickle.dumps(again))(x) == after).all()
    fixed = lamella.load(MLP, **OPTIONS)
    assert np.shares_memory(copy.deepcopy(fixed).weights[0], fixed.weights[0])


def test_threads_see_the_old_or_the_new(x):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    old = {f"{layer.path}/{name}": np.array(w) for layer in m.layers for name, w in layer.weights.items()}
    new = changed(m)
    a, b = np.array(m(x)), m.with_weights(new)(x)
    ends, wrong = threading.Event(), []

    def predict():
        while not ends.is_set():
            y = m(x)
            if not ((y == a).all() or (y == b).all()):
                wrong.append(y)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(50):
        m.update_weights(new if i % 2 == 0 else old)
    ends.set()
    for thread in threads:
        thread.join()
    assert not wrong and (m(x) == a).all()


def test_parts_and_counts(x, mlp):
    part = mlp.output_of("hidden")
    assert part.output_names == ["hidden"] and part(x).shape[0] == len(x)
    with pytest.raises(lamella.ArgumentError, match="nobody"):
        mlp.output_of("nobody")
    assert mlp.stats()["calls"] == 0 and mlp.stats()["preparing_seconds"] > 0 and part.stats()["calls"] == 1 and part.stats()["rows"] == len(x)
    assert mlp.memory_bytes()["host"] >= 4 * mlp.count_params() and mlp.memory_bytes()["device"] == 0


def test_streams_and_gpu_arrays_need_a_gpu(x):
    m = lamella.load(MLP, updatable=True, **OPTIONS)
    before = m(x)
    with pytest.raises(lamella.ArgumentError, match="the model is on cpu, which has none"):
        m.update_weights(changed(m), stream=0)
    assert (m(x) == before).all()


@pytest.mark.usefixtures("gpu")
class TestOnAGpu:
    @pytest.fixture
    def cupy(self, monkeypatch):
        library = types.SimpleNamespace(ascontiguousarray=lambda a: a, cuda=types.SimpleNamespace(get_current_stream=lambda: types.SimpleNamespace(ptr=0)))
        monkeypatch.setitem(sys.modules, "cupy", library)
        return library

    def test_arrays_of_the_gpu_are_read_on_the_current_stream(self, x, cupy):
        m = lamella.load(MLP, device="cuda:0", updatable=True)
        before, weights = m(x), changed(m)
        want = m.with_weights(weights)(x)
        there = {name: cupy_array(w) for name, w in weights.items()}
        m.update_weights(there)
        assert (m(x) == want).all() and (want != before).any()
        m.update_weights({**weights, "digit/bias": cupy_array(np.zeros(10, np.float32))}, stream=0)
        assert (m(x) == m.with_weights({**weights, "digit/bias": np.zeros(10)})(x)).all()
        for bad, words in [({**there, "digit/bias": cupy_array(np.zeros(3, np.float32))}, "'digit/bias': got shape"),
                           ({**there, "digit/bias": cupy_array(np.zeros(10, np.int32))}, "got int32, allowed floating types")]:
            now = m(x)
            with pytest.raises(lamella.ArgumentError, match=words):
                m.update_weights(bad)
            assert (m(x) == now).all()
        with pytest.raises(lamella.ArgumentError, match="allowed is host memory"):
            m.with_weights(there)
        with pytest.raises(lamella.ArgumentError, match="current CUDA stream of cupy is 0x0, another is 0x1"):
            m.update_weights(there, stream=1)

    def test_host_arrays_are_enqueued_on_a_stream(self, x):
        m = lamella.load(MLP, device="cuda:0", updatable=True)
        weights = changed(m)
        want = m.with_weights(weights)(x)
        m.update_weights(weights, stream=0)
        assert (m(x) == want).all()
        with pytest.raises(lamella.ArgumentError, match="the model is on cpu"):
            lamella.load(MLP, updatable=True, **OPTIONS).update_weights(weights, stream=0)
