# SPDX-License-Identifier: Apache-2.0
"""What a model tells about itself, how it is made, changed, compared, pickled and refused."""
import copy
import html
import io
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import MLP

import lamella
from lamella._verify import compared


def test_loads_paths_and_bytes(x, mlp, tmp_path):
    want = mlp(x)
    content = MLP.read_bytes()
    for source in (str(MLP), MLP, content, bytearray(content), memoryview(content)):
        assert (lamella.load(source, device="cpu")(x) == want).all()
    odd = tmp_path / "mödel ünd 模型.keras"
    shutil.copy(MLP, odd)
    assert (lamella.load(odd, device="cpu")(x) == want).all()
    legacy = tmp_path / "m.h5"
    keras.saving.load_model(MLP).save(legacy)
    assert (lamella.load(legacy, device="cpu")(x) == want).all()


def test_tells_what_it_is(mlp):
    assert mlp.name == "digits_like" and mlp.device == "cpu" and mlp.count_params() > 0
    assert "Total params" in mlp.summary() and "<pre>" in mlp._repr_html_()
    assert "Dense" in mlp.explain() or "dense" in mlp.explain()
    assert mlp.explain()._repr_html_() == f"<pre>{html.escape(str(mlp.explain()))}</pre>"
    assert mlp.explain(batch=1, json=True) != mlp.explain(batch=512, json=True)
    net = keras.saving.load_model(MLP)
    for ours, theirs in zip(mlp.weights, net.get_weights(), strict=True):
        assert (ours == theirs).all() and not ours.flags.writeable
    layer = mlp.layers[1]
    assert layer.class_name == "Dense" and layer.config["name"] == layer.name and [w.ndim for w in layer.weights.values()] == [2, 1]


def test_weights_outlive_the_model(mlp):
    kept, copies = mlp.weights, [w.copy() for w in mlp.weights]
    mlp.set_activation(mlp.layers[1].name, "relu")
    del mlp
    assert all((a == b).all() for a, b in zip(kept, copies))


def test_files_without_an_input_shape(tmp_path):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.layers.ReLU(), keras.layers.Softmax()]).save(path)
    with pytest.raises(lamella.LoadError):
        lamella.load(path, device="cpu")
    x = np.array([[-1, 0, 2]], np.float32)
    want = keras.saving.load_model(path)(x)
    for source in (path, path.read_bytes()):
        m = lamella.load(source, input_shape=(3,), device="cpu")
        assert m.input_shapes == [(None, 3)]
        for one in (m, pickle.loads(pickle.dumps(m)), copy.deepcopy(lamella.load(source, (3,), device="cpu", updatable=True))):
            np.testing.assert_allclose(one(x), want, rtol=1e-6)
    assert lamella.load(path, input_shape=(None, 3), device="cpu").input_shapes == [(None, None, 3)]
    assert lamella.load(MLP, input_shape=(3,), device="cpu").input_shapes == [(None, 784)]
    with pytest.raises(lamella.ArgumentError, match="sample_shape: got the extent -2"):
        lamella.load(path, input_shape=(-2,), device="cpu")
    with pytest.raises(TypeError):
        lamella.load(path, input_shape=("3",), device="cpu")


def test_from_keras_leaves_no_file(x, mlp, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    net = keras.saving.load_model(MLP)
    assert (lamella.from_keras(net, device="cpu")(x) == mlp(x)).all()

    def paths_alone(model, path):
        if isinstance(path, io.BytesIO):
            raise TypeError
        model.save(path)

    monkeypatch.setattr(keras.saving, "save_model", paths_alone)
    assert (lamella.from_keras(net, device="cpu")(x) == mlp(x)).all()
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match="expected a model of Keras 3"):
        lamella.from_keras("m.keras")


def test_set_activation_and_copies(x, mlp):
    name = mlp.layers[1].name
    net = keras.saving.load_model(MLP)
    net.get_layer(name).activation = keras.activations.exponential
    other = copy.copy(mlp)
    before = mlp(x)
    other.set_activation(name, "exponential")
    np.testing.assert_allclose(other(x), net(x), rtol=1e-5, atol=2e-6)
    assert (mlp(x) == before).all() and not (other(x) == before).all()
    assert (pickle.loads(pickle.dumps(copy.deepcopy(other)))(x) == other(x)).all()
    with pytest.raises(lamella.ArgumentError, match="E_VALUE"):
        mlp.set_activation("none such", "relu")
    assert (mlp(x) == before).all()


@pytest.mark.parametrize("got, want, end", [
    ([1, 2.5], [1, 2.0], "got 2.5, expected 2, difference 0.5, allowed 0.02"),
    ([1, np.nan], [1, 2.0], "got nan, expected 2"),
    ([1, 2], [1, 3], "got 2, expected 3"),
])
def test_verify_names_the_worst_element(got, want, end):
    assert str(compared("y", np.array(got), np.array(want), 0.01, 0)) == f"y: worst at [1]: {end}"


def test_verify(x, mlp, two_in_two_out):
    net = keras.saving.load_model(MLP)
    found = mlp.verify(net, x)
    assert found and "200 values agree" in str(found) and found.outputs[0].largest < 1e-5
    net.set_weights([w * np.float32(1.01) for w in net.get_weights()])
    bad = mlp.verify(net, x)
    assert not bad and ", difference " in str(bad) and ", allowed " in str(bad)
    assert lamella.from_keras(net, device="cpu").verify(net, x)
    two = lamella.from_keras(two_in_two_out, device="cpu")
    data = {"wide": np.ones((4, 3), np.float32), "deep": np.ones((4, 1), np.float32)}
    assert two.verify(two_in_two_out, data) and len(two.verify(two_in_two_out, data).outputs) == 2
    assert not mlp.verify(keras.Sequential([keras.Input((784,)), keras.layers.Dense(3)]), x)


def test_pickles_the_file(x, mlp, tmp_path):
    path = tmp_path / "m.keras"
    shutil.copy(MLP, path)
    m = lamella.load(path, device="cpu", threads=1)
    pickled = pickle.dumps(m)
    assert (pickle.loads(pickled)(x) == mlp(x)).all()
    path.write_bytes(MLP.read_bytes() + b" ")
    with pytest.raises(lamella.ArgumentError, match="changed since"):
        pickle.dumps(m)
    path.unlink()
    assert (pickle.loads(pickled)(x) == mlp(x)).all()
    with pytest.raises(OSError):
        pickle.dumps(m)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, tmp_path):
    """In a program of its own: JAX, which is loaded here, does not bear fork."""
    (tmp_path / "program.py").write_text(f"""
import multiprocessing
import lamella
import numpy as np
if __name__ == "__main__":
    m = lamella.load({str(MLP)!r}, device="cpu", determinism="batch_invariant")
    x = np.random.default_rng(0).standard_normal((20, 784)).astype("float32")
    want = m(x)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        for got in pool.map(m.predict, [x, x[:5], x]):
            assert (got == want[:len(got)]).all()
    print("all agree")
""")
    ended = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "all agree\n", ended


def test_errors_have_a_code_and_a_natural_class(tmp_path, mlp):
    with pytest.raises(OSError) as caught:
        lamella.load(tmp_path / "none.keras")
    assert isinstance(caught.value, lamella.FileError) and isinstance(caught.value, lamella.LoadError) and caught.value.code == "E_IO"
    assert "none.keras" in str(caught.value)
    damaged = MLP.read_bytes()[:-100]
    with pytest.raises(lamella.LoadError) as caught:
        lamella.load(damaged)
    assert isinstance(caught.value, ValueError) and caught.value.code == "E_ARCHIVE"
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is lamella.LoadError and again.code == "E_ARCHIVE" and str(again) == str(caught.value)
    with pytest.raises(lamella.DeviceError) as caught:
        lamella.load(MLP, device="cuda:77")
    assert isinstance(caught.value, RuntimeError)
    net = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 2)])
    with pytest.raises(lamella.LoadError, match="Conv2D") as caught:
        lamella.from_keras(net)
    assert caught.value.code == "E_UNSUPPORTED"
    assert issubclass(lamella.OutOfMemoryError, MemoryError) and issubclass(lamella.ArgumentError, ValueError)


@pytest.mark.parametrize("options, error", [
    ({"device": "gpu"}, lamella.ArgumentError), ({"dtype": "int8"}, lamella.ArgumentError), ({"dtype": "float"}, lamella.ArgumentError),
    ({"threads": -1}, lamella.ArgumentError), ({"threads": 1.5}, lamella.ArgumentError), ({"threads": 2**40}, lamella.ArgumentError),
    ({"threads": True}, lamella.ArgumentError), ({"math": "fast"}, lamella.ArgumentError), ({"graphs": 3}, lamella.ArgumentError),
    ({"max_batch": 0}, lamella.ArgumentError), ({"engine": "none such"}, lamella.ArgumentError), ({"fusion": None}, lamella.ArgumentError),
    ({"hard_sigmoid": "keras4"}, lamella.ArgumentError), ({"tuning": "on"}, lamella.ArgumentError),
    ({"none_such": 1}, TypeError), ({"device": 0}, lamella.ArgumentError)])
def test_options_that_are_none(options, error):
    with pytest.raises(error):
        lamella.load(MLP, **{"device": "cpu"} | options)


def test_every_option_is_taken(x):
    m = lamella.load(MLP, device="auto", dtype=None, threads=1, math="exact", fusion="none", determinism="batch_invariant", tuning="off", engine="",
                     max_batch=7, cached_programs=2, memory_limit=0, graphs=False, profile=True, hard_sigmoid="keras2")
    y = m.predict(x)
    assert all((m(x[i:i + 1]) == y[i]).all() for i in range(20))


def test_sources_that_are_none():
    for bad in (None, 3, object()):
        with pytest.raises(TypeError):
            lamella.load(bad)
    with pytest.raises(TypeError):
        lamella.Model.__new__(lamella.Model).name  # never initialised


def test_the_command(tmp_path, x, mlp):
    np.save(tmp_path / "x.npy", x)
    command = pathlib.Path(sys.executable).parent / "lamella"
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    for words in ([command], [sys.executable, "-m", "lamella"]):
        subprocess.run([*words, "predict", MLP, "--device", "cpu", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy"], check=True, env=environment)
        assert np.allclose(np.load(tmp_path / "y.npy"), mlp(x), 1e-6, 1e-7)
    assert subprocess.run([command, "no such verb"], env=environment, capture_output=True).returncode == 2


def test_devices():
    assert lamella.devices()[-1] == "cpu" and lamella.describe("cpu")
    assert bool(lamella.why_no_cuda()) == ("cuda:0" not in lamella.devices())


def test_ray_is_named_where_it_is_missing(tmp_path):
    program = "import sys; sys.modules['ray'] = None; import lamella; assert 'lamella.ray' not in sys.modules; import lamella.ray"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1] == "ModuleNotFoundError: lamella.ray needs Ray: pip install lamella[ray]"
