# SPDX-License-Identifier: Apache-2.0
"""Weights with a torch module's names. Only the last test needs torch itself: its state_dict() is a dict of arrays."""
import array
import sys
import types

import numpy as np
import pytest
from conftest import cupy_array
from test_dlpack import Producer
from test_weights import safetensors

import lamella

RNG = np.random.default_rng(6)
X = RNG.standard_normal((5, 4)).astype(np.float32)


def model(*names, bias=True, device="cpu"):
    names = names or (None, None, None)
    layers = [lamella.Dense(units, "tanh", use_bias=bias, name=name) for units, name in zip((6, 6, 2), names)]
    return lamella.Sequential([lamella.Input((4,)), *layers], updatable=True, device=device, threads=1)


def state(*names, bias=True):
    """Of Linear(4, 6), Linear(6, 6), Linear(6, 2)."""
    made = {}
    for name, out, taken in zip(names, (6, 6, 2), (4, 6, 6)):
        made[f"{name}.weight"] = RNG.standard_normal((out, taken)).astype(np.float32)
        if bias:
            made[f"{name}.bias"] = RNG.standard_normal(out).astype(np.float32)
    return made


def answer(weights, *names):
    """What torch computes: x A^T + b."""
    y = X.astype(np.float64)
    for name in names:
        y = np.tanh(y @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0))
    return y


@pytest.mark.parametrize("names, bias", [(("0", "2", "10"), True), (("fc1", "fc2", "fc3"), False), (("net.in", "net.body", "a"), True)])
def test_linear_layers_go_to_dense_layers_in_their_order(names, bias):
    m, weights = model(bias=bias), state(*names, bias=bias)
    want = answer(weights, *names)
    np.testing.assert_allclose(m.with_weights(weights)(X), want, rtol=1e-5, atol=2e-6)
    m.update_weights(weights)
    np.testing.assert_allclose(m(X), want, rtol=1e-5, atol=2e-6)


def test_names_of_dense_layers_come_first():
    weights = state("first", "second", "last")
    backwards = dict(reversed(weights.items()))
    np.testing.assert_allclose(model("first", "second", "last").with_weights(backwards)(X), answer(weights, "first", "second", "last"), rtol=1e-5, atol=2e-6)


def test_one_linear_layer_has_no_module_name():
    m = lamella.Sequential([lamella.Input((4,)), lamella.Dense(2)], device="cpu")
    weights = {"weight": RNG.standard_normal((2, 4)), "bias": np.ones(2)}
    np.testing.assert_allclose(m.with_weights(weights)(X), X @ weights["weight"].T + 1, rtol=1e-5, atol=2e-6)


def test_files_are_read_by_the_numbers_in_names(tmp_path):
    names = ("net.2", "net.10", "net.11")
    weights, path = state(*names), tmp_path / "w.safetensors"
    safetensors(path, {name: ("F32", list(w.shape), w.tobytes()) for name, w in sorted(weights.items())})
    np.testing.assert_allclose(model().with_weights(path)(X), answer(weights, *names), rtol=1e-5, atol=2e-6)
    named = state("first", "second", "last")
    np.savez(tmp_path / "w.npz", **named)
    with pytest.raises(lamella.LoadError, match="does not keep the order of its Linear layers, and 'first', 'last', 'second' differ"):
        model().with_weights(tmp_path / "w.npz")
    same = model("first", "second", "last").with_weights(tmp_path / "w.npz")
    np.testing.assert_allclose(same(X), answer(named, "first", "second", "last"), rtol=1e-5, atol=2e-6)


def test_any_array_is_taken():
    weights = state("0", "1", "2")
    want = model().with_weights(weights)(X)
    others = dict(weights)
    others["0.weight"] = Producer(weights["0.weight"])
    others["0.bias"] = array.array("f", weights["0.bias"])
    others["1.weight"] = memoryview(np.asfortranarray(weights["1.weight"]))
    others["2.bias"] = Producer(np.repeat(weights["2.bias"], 2)[::2])
    assert (model().with_weights(others)(X) == want).all()


@pytest.mark.parametrize("change, words", [
    ({"1.weight": None, "1.bias": None}, r"got 2 Linear layers \('0', '2'\), the model has 3 Dense layers \('dense', 'dense_1', 'dense_2'\)"),
    ({"1.bias": None}, "'1.bias' is missing, but Dense layer 'dense_1' has a bias"),
    ({"1.weight": None}, "'1.weight' is missing, but Dense layer 'dense_1' has a kernel"),
    ({"1.weight": np.zeros((4, 6))}, r"'1.weight' has shape \(4, 6\), Dense layer 'dense_1' takes \(6, 6\)"),
    ({"2.bias": np.zeros(3)}, r"'2.bias' has shape \(3,\), Dense layer 'dense_2' takes \(2,\)"),
    ({"3.weight": np.zeros(2)}, r"'3.weight' of shape \(2,\), allowed are weight \(out, in\)"),
    ({"3.running_mean": np.zeros(2)}, "'3.running_mean' of shape"),
    ({"dense/bias": np.zeros(6)}, "no weight is named"),
])
def test_what_does_not_fit_is_named(change, words):
    m, weights = model(), state("0", "1", "2") | change
    before = m(X)
    with pytest.raises(lamella.ArgumentError, match=words):
        m.update_weights({name: w for name, w in weights.items() if w is not None})
    assert (m(X) == before).all()


def test_a_bias_too_many_is_named():
    with pytest.raises(lamella.ArgumentError, match="'0.bias' is given, but Dense layer 'dense' has no bias"):
        model(bias=False).with_weights(state("0", "1", "2"))


@pytest.mark.usefixtures("gpu")
def test_arrays_on_a_gpu(monkeypatch):
    library = types.SimpleNamespace(ascontiguousarray=lambda a: a, cuda=types.SimpleNamespace(get_current_stream=lambda: types.SimpleNamespace(ptr=0)))
    monkeypatch.setitem(sys.modules, "cupy", library)
    m, weights = model(device="cuda:0"), state("0", "1", "2")
    m.update_weights({name: cupy_array(w) for name, w in weights.items()})
    np.testing.assert_allclose(m(X), answer(weights, "0", "1", "2"), rtol=1e-5, atol=2e-6)


def test_a_real_module(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(4)
    net = torch.nn.Sequential(*[part for out, taken in ((6, 4), (6, 6), (2, 6)) for part in (torch.nn.Linear(taken, out), torch.nn.Tanh())])
    m, x = model(), torch.from_numpy(X)
    m.update_weights(net.state_dict())
    y = m(x)
    assert isinstance(y, torch.Tensor)
    torch.testing.assert_close(y, net(x).detach(), rtol=1e-5, atol=2e-6)
    np.savez(tmp_path / "net.npz", **{name: w.numpy() for name, w in net.state_dict().items()})
    assert (model().with_weights(tmp_path / "net.npz")(X) == y.numpy()).all()
    torch.testing.assert_close(model().with_weights(net.bfloat16().state_dict())(x), net.float()(x).detach(), rtol=1e-5, atol=2e-6)
