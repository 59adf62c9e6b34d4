# SPDX-License-Identifier: Apache-2.0
"""What predict() and calls take, against live Keras and against each other."""
import keras
import numpy as np
import pandas as pd
import pytest
from conftest import MLP

import lamella


def close(got, want, rtol=1e-5, atol=2e-6):
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=rtol, atol=atol)


def test_answers_are_keras_answers(mlp, x):
    close(mlp(x), keras.saving.load_model(MLP)(x))
    assert (mlp(x) == mlp.predict(x)).all()
    assert mlp(x).dtype == np.float32 and mlp(x).flags.owndata


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "int64", "uint16", "bool", ">f4", ">i2"])
def test_other_dtypes_are_converted(mlp, x, dtype):
    other = (x * 3).astype(dtype)
    assert (mlp(other) == mlp(other.astype(np.float32))).all()
    assert (mlp.predict(other) == mlp(other.astype(np.float32))).all()


def test_strided_read_only_and_unaligned_inputs(mlp, x):
    want = mlp(x)
    assert (mlp(np.asfortranarray(x)) == want).all()
    assert (mlp(np.repeat(x, 2, axis=0)[::2]) == want).all()
    assert (mlp(x[::-1])[::-1] == want).all()
    frozen = x.copy()
    frozen.flags.writeable = False
    assert (mlp(frozen) == want).all()
    moved = np.frombuffer(b"-" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    assert not moved.flags.aligned and (mlp(moved) == want).all()
    assert (mlp(x.view(np.memmap)) == want).all()


def test_lists_of_numbers_and_of_one_array(mlp, x):
    assert (mlp.predict(x.tolist()) == mlp(x)).all()
    assert (mlp([x]) == mlp(x)).all() and (mlp.predict((x,)) == mlp(x)).all()
    assert (mlp({"pixels": x}) == mlp(x)).all()
    assert (mlp.predict([row for row in x]) == mlp(x)).all()


def test_no_rows(mlp, x):
    assert mlp(x[:0]).shape == (0, 10) and mlp.predict(x[:0]).shape == (0, 10) and mlp.predict(x[:0], batch_size=3).shape == (0, 10)


def test_batch_size_and_out(mlp, x):
    want = mlp.predict(x)
    for size in (1, 3, 20, np.int64(7), 1000):
        close(mlp.predict(x, batch_size=size), want, 1e-6, 1e-7)
    out = np.full((20, 10), np.nan, np.float32)
    assert mlp.predict(x, out=out) is out and (out == want).all()
    out[:] = np.nan
    assert mlp.predict(x, batch_size=6, out=out) is out
    close(out, want, 1e-6, 1e-7)
    out[:] = np.nan
    assert mlp(x.astype(np.float64), out=out) is out and (out == want).all()


@pytest.mark.parametrize("size", [0, -1, True, "4", 2.0])
def test_batch_size_that_is_none(mlp, x, size):
    with pytest.raises(lamella.ArgumentError, match="batch_size: got"):
        mlp.predict(x, batch_size=size)


def test_out_that_does_not_fit(mlp, x):
    frozen = np.empty((20, 10), np.float32)
    frozen.flags.writeable = False
    bad = [np.empty((20, 10)), np.empty((20, 9), np.float32), np.empty((19, 10), np.float32), np.empty((10, 20), np.float32).T, frozen,
           [np.empty((20, 10), np.float32)] * 2, "text", np.empty((20, 10), ">f4")]
    for out in bad:
        for size in (None, 6):
            with pytest.raises(lamella.ArgumentError):
                mlp.predict(x, batch_size=size, out=out)
    square = lamella.from_keras(keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]), device="cpu")
    shared = np.ones((6, 4), np.float32)
    with pytest.raises(lamella.ArgumentError, match="share memory"):
        square.predict(shared, out=shared)


def test_several_inputs_and_outputs(two_in_two_out):
    m = lamella.from_keras(two_in_two_out, device="cpu")
    assert m.input_names == ["wide", "deep"] and m.input_shapes == [(None, 3), (None, 1)] and m.output_shapes == [(None, 2), (None, 5)]
    wide, deep = np.random.default_rng(1).standard_normal((7, 3), np.float32), np.arange(7, dtype=np.float32)[:, None]
    want = two_in_two_out([wide, deep])
    frame = pd.DataFrame({"deep": deep[:, 0], "unused": 1.0, "wide": list(wide)})
    for got in (m.predict([wide, deep]), m((wide, deep)), m({"deep": deep, "wide": wide}), m.predict([wide, deep[:, 0]]),
                m.predict({"deep": deep.tolist(), "wide": wide}, batch_size=4)):
        assert isinstance(got, list) and len(got) == 2
        for g, w in zip(got, want):
            close(g, w)
    with pytest.raises(lamella.ArgumentError, match="dtype object"):
        m.predict(frame)
    outs = [np.empty((7, 2), np.float32), np.empty((7, 5), np.float32)]
    assert m.predict([wide, deep], out=outs)[1] is outs[1]
    close(outs[1], want[1])
    for bad in (wide, [wide], [wide, deep, deep], {"wide": wide}, {"wide": wide, "deep": deep, "more": deep}, [wide, deep[:3]],
                frame.drop(columns="deep")):
        with pytest.raises(lamella.ArgumentError):
            m.predict(bad)


def test_data_frames(mlp, x):
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(784)])
    assert (mlp.predict(frame) == mlp(x)).all() and (mlp(frame) == mlp(x)).all()
    with pytest.raises(lamella.ArgumentError, match="783 columns, expected 784"):
        mlp.predict(frame.drop(columns="c5"))
    a, b = keras.Input((1,), name="age"), keras.Input((1,), name="pay")
    net = keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b])))
    people = pd.DataFrame({"pay": [3, 1, 2], "name": ["x", "y", "z"], "age": [20.5, 30, 40]})
    got = lamella.from_keras(net, device="cpu").predict(people)
    close(got, net([people["age"].to_numpy("float32")[:, None], people["pay"].to_numpy("float32")[:, None]]))


def test_inputs_that_are_no_numbers(mlp, x):
    for bad in (x.astype(complex), x.astype(str), np.ma.masked_array(x, x > 0), x.astype(np.longdouble), np.full((2, 784), None)):
        with pytest.raises(lamella.ArgumentError) as caught:
            mlp(bad)
        assert caught.value.code == "E_DTYPE"
    for bad in (x[0], x[:, :3], x[None], np.float32(3), x.T):
        with pytest.raises(lamella.ArgumentError) as caught:
            mlp(bad)
        assert caught.value.code == "E_SHAPE"


def test_integers_and_open_shapes():
    ids = keras.Input((None,), dtype="int32")
    net = keras.Model(ids, keras.layers.Embedding(20, 4)(ids))
    m = lamella.from_keras(net, device="cpu")
    assert m.input_shapes == [(None, None)] and m.output_shapes == [(None, None, 4)] and m.input_dtypes == ["int32"]
    for length in (3, 5):
        x = np.arange(2 * length, dtype=np.int32).reshape(2, length)
        close(m(x), net(x))
        assert m(x.astype(np.int64)).shape == (2, length, 4)
        out = np.empty((2, length, 4), np.float32)
        assert m.predict(x, out=out) is out
        close(out, net(x))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_compute_types(dtype):
    keras.utils.set_random_seed(4)
    net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, activation="tanh", dtype=dtype), keras.layers.Dense(3, dtype=dtype)])
    m = lamella.from_keras(net, device="cpu")
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    y = m(x)
    assert m.output_dtypes == [dtype] and y.dtype == (np.float32 if dtype == "bfloat16" else dtype)
    close(y, keras.ops.cast(net(x), "float32"), 0.02, 0.02)
    out = np.empty(y.shape, y.dtype)
    assert m.predict(x, out=out) is out and (out == y).all()
    assert lamella.from_keras(net, device="cpu", dtype="float32").output_dtypes == ["float32"]
