# SPDX-License-Identifier: Apache-2.0
"""Arrays of other libraries, and of a small producer of capsules."""
import sys
import types

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from conftest import cupy_array

import lamella


def test_jax_in_jax_out(mlp, x):
    want = mlp(x)
    y = mlp(jnp.asarray(x))
    assert isinstance(y, jax.Array) and y.dtype == jnp.float32 and (np.asarray(y) == want).all()
    assert (np.asarray(jax.jit(lambda v: v + 0)(y)) == want).all()
    assert (np.asarray(mlp([jnp.asarray(x)])) == want).all() and (np.asarray(mlp({"pixels": jnp.asarray(x)})) == want).all()
    assert (np.asarray(mlp(jnp.asarray(x).T.T[::2])) == want[::2]).all() or np.allclose(mlp(x[::2]), want[::2])
    assert isinstance(mlp.predict(jnp.asarray(x)), np.ndarray) and (mlp.predict(jnp.asarray(x)) == want).all()
    assert (np.asarray(mlp(jnp.asarray(x, jnp.float16))) == mlp(x.astype(np.float16))).all()


def test_results_outlive_model_and_input(mlp, x):
    want = mlp(x)
    y = mlp(jnp.asarray(x))
    del mlp
    assert (np.asarray(y) == want).all()


def test_bfloat16_stays_bfloat16():
    keras.utils.set_random_seed(4)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, dtype="bfloat16")])
    m = lamella.from_keras(net, device="cpu")
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
    y = m(jnp.asarray(x, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16 and (np.asarray(y, np.float32) == m(np.asarray(jnp.asarray(x, jnp.bfloat16)))).all()


class Producer:
    """What a library must have: the two methods of DLPack, here those of a NumPy array. Counts who asks."""

    def __init__(self, array, device=None):
        self.array, self.device_is, self.asked = array, device, 0

    def __dlpack_device__(self):
        return self.device_is or self.array.__dlpack_device__()

    def __dlpack__(self, **keywords):
        self.asked += 1
        return self.array.__dlpack__(**{k: v for k, v in keywords.items() if k == "max_version"})


def test_any_producer_is_read_where_it_is(mlp, x):
    producer = Producer(x)
    y = mlp(producer)
    assert isinstance(y, np.ndarray) and (y == mlp(x)).all() and producer.asked >= 1
    assert (mlp.predict(producer) == y).all()
    with pytest.raises(lamella.ArgumentError, match="E_SHAPE"):
        mlp(Producer(x[:, :5].copy()))
    with pytest.raises(lamella.ArgumentError, match="E_DTYPE"):
        mlp(Producer(x.astype(np.complex64)))
    assert mlp(Producer(x[:0])).shape == (0, 10)


def test_strided_arrays_are_copied(mlp, x):
    wide = np.repeat(x, 2, axis=1)
    for strided in (np.asfortranarray(x), wide[:, ::2], x[::-1][::-1]):
        assert (mlp(Producer(strided)) == mlp(x)).all()
    with pytest.raises(lamella.ArgumentError, match="C-contiguous"):
        lamella._core.to_device(np.asfortranarray(x), "cpu")


def test_memory_that_numpy_cannot_read_is_refused(mlp, x):
    class Elsewhere(Producer):
        def __dlpack__(self, **keywords):
            raise BufferError("it is elsewhere")

    with pytest.raises(lamella.ArgumentError, match="input 'pixels': NumPy cannot read its memory: it is elsewhere"):
        mlp.predict(Elsewhere(x))


def test_read_only_producers(mlp, x):
    frozen = x.copy()
    frozen.flags.writeable = False
    assert (mlp(Producer(frozen)) == mlp(x)).all()


def test_a_gpu_array_of_an_unknown_library_is_refused(mlp, x):
    with pytest.raises(lamella.ArgumentError, match="on which stream"):
        mlp(Producer(x, device=(2, 0)))


def test_libraries_are_not_mixed(two_in_two_out):
    m = lamella.from_keras(two_in_two_out, device="cpu")
    wide, deep = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
    y = m([jnp.asarray(wide), jnp.asarray(deep)])
    assert all(isinstance(each, jax.Array) for each in y) and (np.asarray(y[1]) == m([wide, deep])[1]).all()
    with pytest.raises(lamella.ArgumentError, match="one library"):
        m([jnp.asarray(wide), deep])


def test_torch_in_torch_out(mlp, x):
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(x).requires_grad_()
    y = mlp(t)
    assert isinstance(y, torch.Tensor) and (y.numpy() == mlp(x)).all() and not y.requires_grad
    assert (mlp(torch.from_numpy(x.T.copy()).T).numpy() == mlp(x)).all()
    assert (mlp.predict(t) == mlp(x)).all() and (mlp.predict(t.bfloat16()) == mlp(t.detach().bfloat16().float().numpy())).all()


@pytest.mark.usefixtures("gpu")
class TestOnAGpu:
    """With the CUDA device, real or emulated; scripts/test-python says how to get one."""

    @pytest.fixture
    def m(self):
        from conftest import MLP
        return lamella.load(MLP, device="cuda:0")

    def test_host_arrays_go_there_and_back(self, m, mlp, x):
        np.testing.assert_allclose(m(x), mlp(x), rtol=1e-5, atol=2e-6)
        out = np.empty((20, 10), np.float32)
        assert m.predict(x, out=out) is out and (out == m(x)).all()
        assert isinstance(m(jnp.asarray(x)), jax.Array)

    def test_arrays_stay_on_the_device(self, m, x):
        there = lamella._core.to_device(x, "cuda:0")
        assert there.__dlpack_device__() == (2, 0)
        result, = m._run_dlpack([there], [], None)
        assert result.__dlpack_device__() == (2, 0)
        assert (np.from_dlpack(lamella._core.to_device(result, "cpu")) == m(x)).all()

    def test_the_current_stream_of_the_library_is_used(self, m, x, monkeypatch):
        """A library of the name of cupy, as far as calls ask for it."""
        used = []

        def empty(shape, dtype):
            return cupy_array(np.zeros(shape, dtype))

        def stream():
            used.append(0)
            return types.SimpleNamespace(ptr=0)

        library = types.SimpleNamespace(empty=empty, ascontiguousarray=lambda a: a, cuda=types.SimpleNamespace(get_current_stream=stream))
        monkeypatch.setitem(sys.modules, "cupy", library)
        y = m(cupy_array(x))
        assert used == [0]
        m(x)  # waits for nothing of the other stream; the copy below does
        assert (np.from_dlpack(lamella._core.to_device(y.memory, "cpu")) == m(x)).all()
