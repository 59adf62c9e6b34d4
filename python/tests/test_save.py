# SPDX-License-Identifier: Apache-2.0
"""Keras reads what lamella writes, and answers with the numbers that it had before."""
import zipfile

import h5py
import keras
import numpy as np
import pytest
from conftest import MLP
from keras import layers

import lamella

RNG = np.random.default_rng(3)


def randomised(model):
    model.set_weights([np.abs(RNG.normal(size=w.shape)).astype(w.dtype) * 0.5 + 0.1 if np.issubdtype(w.dtype, np.floating) else w
                       for w in model.get_weights()])
    return model


def functional():
    a, b = keras.Input((5,), name="a"), keras.Input((4,), name="b")
    shared = layers.Dense(6, "gelu")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, "relu"), layers.BatchNormalization(), layers.PReLU()], name="inner")
    merged = layers.Concatenate()([inner(shared(a)), shared(layers.Dense(5)(b))])
    return keras.Model({"a": a, "b": b}, {"y": layers.Dense(3, "softmax")(merged), "z": layers.LayerNormalization()(merged) * 2.0})


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(RNG.normal(size=(50, 5)).astype("float32"))
    return keras.Sequential([keras.Input((5,)), normalization, layers.GaussianNoise(0.1), layers.Dropout(0.3, seed=1), layers.Dense(2)])


def embedded():
    x = keras.Input((3,), dtype="int32")
    y = layers.Embedding(11, 4)(x)
    y = layers.TimeDistributed(layers.Dense(5, keras.layers.LeakyReLU(0.3)))(layers.SpatialDropout1D(0.2)(y))
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layers.GroupNormalization(1)(y))))


def of_policy(policy):
    return keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh", dtype=policy), layers.Dense(3, dtype=policy)])


def quantized(mode):
    model = randomised(keras.Sequential([keras.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(3)]))
    model.quantize(mode)
    return model


MODELS = {
    "functional": lambda: randomised(functional()), "adapted": adapted, "embedded": lambda: randomised(embedded()),
    "deep": lambda: randomised(keras.Sequential([keras.Input((5,))] + [layers.Dense(5, "selu") for _ in range(40)])),
    "compiled": lambda: compiled(of_policy("float32")), "infinite": lambda: keras.Sequential([keras.Input((5,)), layers.ReLU(float("inf"))]),
    **{p: lambda p=p: of_policy(p) for p in ("mixed_bfloat16", "bfloat16", "float16", "mixed_float16", "float64")},
    **{q: lambda q=q: quantized(q) for q in ("int8", "int4")},
}


def compiled(model):
    model.compile("adam", "mse")
    model.fit(RNG.normal(size=(8, 5)), RNG.normal(size=(8, 3)), verbose=0)
    return model


def some_inputs(model):
    def one(tensor):
        shape = [7] + [n or 2 for n in tensor.shape[1:]]
        return RNG.integers(0, 11, shape).astype("int32") if "int" in str(tensor.dtype) else RNG.normal(size=shape).astype("float32")

    arrays = {tensor.name: one(tensor) for tensor in model.inputs}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def flat(answer):
    return [np.asarray(answer[key], np.float64) for key in sorted(answer)] if isinstance(answer, dict) else [np.asarray(answer, np.float64)]


@pytest.mark.parametrize("kind", MODELS)
def test_keras_reads_the_same_model(kind, tmp_path):
    model = MODELS[kind]()
    model.save(tmp_path / "original.keras")
    x = some_inputs(model)
    want = flat(model.predict(x, verbose=0))
    m = lamella.load(str(tmp_path / "original.keras"), device="cpu")
    m.save(tmp_path / "saved.keras")
    again = keras.saving.load_model(tmp_path / "saved.keras")
    assert again.get_config() == keras.saving.load_model(tmp_path / "original.keras").get_config()
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        assert ours.dtype == theirs.dtype and (ours == theirs).all()
    for got, expected in zip(flat(again.predict(x, verbose=0)), want, strict=True):
        np.testing.assert_array_equal(got, expected)
    m.save(str(tmp_path / "saved.weights.h5"))
    randomised(model).load_weights(tmp_path / "saved.weights.h5")
    for got, expected in zip(flat(model.predict(x, verbose=0)), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_changed_activations_are_keras_too(mlp, x, tmp_path):
    m = lamella.load(MLP, device="cpu")
    m.set_activation(m.layers[1].name, "tanh")
    m.save(tmp_path / "changed.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "changed.keras")(x), m(x), rtol=1e-5, atol=2e-6)
    assert not np.allclose(m(x), mlp(x))


def test_files_are_what_their_formats_say(tmp_path):
    m = lamella.load(MLP, device="cpu")
    m.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.testzip() is None and sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        archive.extract("model.weights.h5", tmp_path)
    arrays = []
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(lambda name, item: arrays.append((name, item[()])) if isinstance(item, h5py.Dataset) else None)
    assert len(arrays) == len(m.weights) and all((a == w).all() for (_, a), w in zip(sorted(arrays), m.weights, strict=True))


def test_what_cannot_be_written_is_refused(tmp_path):
    m = lamella.load(MLP, device="cpu")
    with pytest.raises(lamella.ArgumentError, match="allowed NAME.keras, NAME.weights.h5"):
        m.save(tmp_path / "m.onnx")
    with pytest.raises(lamella.Error, match="no_such_folder"):
        m.save(tmp_path / "no_such_folder" / "m.keras")
