# SPDX-License-Identifier: Apache-2.0
"""Models built of layers: the same numbers as Keras with the same weights, in files too."""
import pickle

import keras
import numpy as np
import pytest
from keras import layers

import lamella

RNG = np.random.default_rng(5)
OPTIONS = {"device": "cpu", "threads": 1}


def stacks(of):
    """Stacks of layers, with lamella's names or Keras': they are the same."""
    leaky = lamella.activation_of("leaky_relu", negative_slope=0.05) if of is lamella else layers.LeakyReLU(0.05)
    return {
        "plain": [of.Dense(6, "relu"), of.Dense(5, activation="tanh", use_bias=False, name="second"), of.Activation("softmax")],
        "slopes": [of.Dense(6, leaky), of.Activation(leaky), of.LeakyReLU(0.1), of.ELU(0.5), of.PReLU("he_normal"), of.ReLU(6.0, 0.1, 0.2)],
        "layers as activations": [of.Dense(6, activation=of.Softmax()), of.Dense(3, activation=of.LeakyReLU())],
        "shapes": [of.Dense(6), of.Reshape((2, -1)), of.Softmax(axis=1), of.Flatten(), of.Dropout(0.5, seed=1), of.Identity(),
                   of.Rescaling(2.0, offset=1.0)],
        "normalizations": [of.Dense(6), of.BatchNormalization(epsilon=0.01), of.LayerNormalization(center=False), of.Dense(2, dtype="float64")],
    }


def keras_of(kind, m):
    net = keras.Sequential([keras.Input((4,)), *stacks(layers)[kind]])
    net.set_weights(m.weights)
    return net


@pytest.mark.parametrize("kind", stacks(lamella))
def test_numbers_are_keras(kind, tmp_path):
    m = lamella.Sequential([lamella.Input((4,)), *stacks(lamella)[kind]], **OPTIONS)
    x = RNG.standard_normal((7, 4)).astype(np.float32)
    m = m.with_weights({f"{layer.path}/{name}": np.abs(RNG.standard_normal(w.shape)) for layer in m.layers for name, w in layer.weights.items()})
    net = keras_of(kind, m)
    assert m.verify(net, x), str(m.verify(net, x))
    m.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), net(x))
    assert (lamella.load(tmp_path / "m.keras", **OPTIONS)(x) == m(x)).all()
    assert (pickle.loads(pickle.dumps(m))(x) == m(x)).all()


def test_names_and_options():
    stack = [lamella.Input((4,), name="in", dtype="float16"), lamella.Dense(6), lamella.Dense(3, dtype="bfloat16"), lamella.Dense(2, name="out")]
    m = lamella.Sequential(stack, name="net", updatable=True, max_batch=5, **OPTIONS)
    assert [layer.path for layer in m.layers] == ["in", "dense", "dense_1", "out"] and m.name == "net" and m.input_dtypes == ["float16"]
    assert m.layers[2].config["dtype"]["config"]["name"] == "bfloat16"
    m.update_weights({"out/bias": np.ones(2)})
    assert (m.layers[3].weights["bias"] == 1).all()
    assert lamella.Sequential([lamella.Input((None, 4)), lamella.Dense(3)], **OPTIONS).output_shapes == [(None, None, 3)]


def weights_of(initializer, seed=0, units=400):
    m = lamella.Sequential([lamella.Input((300,)), lamella.Dense(units, kernel_initializer=initializer)], seed=seed, **OPTIONS)
    return m.layers[1].weights["kernel"]


@pytest.mark.parametrize("given, deviation", [
    ("glorot_uniform", np.sqrt(2 / 700)), ("HeNormal", np.sqrt(2 / 300)), ("zeros", 0), (keras.initializers.RandomNormal(stddev=0.2), 0.2),
    ({"class_name": "RandomUniform", "config": {"minval": -3, "maxval": 3}}, np.sqrt(3)), (keras.initializers.LecunNormal(seed=3), np.sqrt(1 / 300))])
def test_initializers_have_keras_distributions(given, deviation):
    found = weights_of(given)
    assert abs(float(found.std()) - deviation) <= 0.02 * deviation
    np.testing.assert_allclose(keras.initializers.get(given)((300, 400)).std(), found.std(), rtol=0.02, atol=0)


def test_seeds():
    assert (weights_of("he_normal", 1) == weights_of("he_normal", 1)).all() and (weights_of("he_normal", 1) != weights_of("he_normal", 2)).any()
    own = {"class_name": "HeNormal", "config": {"seed": 7}}
    assert (weights_of(own, 1) == weights_of(own, 2)).all()
    assert (weights_of(keras.initializers.Constant(0.25)) == 0.25).all()
    assert (weights_of({"class_name": "Identity", "config": {"gain": 2}}, units=300) == 2 * np.eye(300)).all()


def test_graphs_of_layers(tmp_path):
    def made(of, model):
        a, b = of.Input((4,), name="a"), of.Input((4,), name="b")
        shared = of.Dense(5, "gelu")
        parts = [shared(a), shared(b), of.Dense(5)(a)]
        merges = [of.Add()(parts), of.Subtract()(parts[:2]), *[merge()(parts) for merge in (of.Multiply, of.Average, of.Maximum, of.Minimum)]]
        return model([a, b], [of.Dense(2)(of.Concatenate()(merges)), parts[0]])

    m = made(lamella, lambda i, o: lamella.Functional(i, o, seed=3, **OPTIONS))
    net = made(layers, keras.Model)
    net.set_weights(m.weights)
    x = [RNG.standard_normal((3, 4)).astype(np.float32) for _ in range(2)]
    assert m.verify(net, x), str(m.verify(net, x))
    m.save(tmp_path / "m.keras")
    assert m.verify(keras.saving.load_model(tmp_path / "m.keras"), x)
    ids = lamella.Input((3,), dtype="int32")
    assert lamella.Functional(ids, lamella.Embedding(9, 2)(ids), **OPTIONS)(np.zeros((1, 3), np.int32)).shape == (1, 3, 2)


def test_activations_with_parameters():
    m = lamella.Sequential([lamella.Input((3,)), lamella.Dense(3, kernel_initializer="identity")], **OPTIONS)
    x = np.array([[-2, 0, 2]], np.float32)
    m.set_activation("dense", lamella.activation_of("leaky_relu", negative_slope=0.25))
    assert m(x).tolist() == [[-0.5, 0, 2]] and pickle.loads(pickle.dumps(m))(x).tolist() == m(x).tolist()
    m.set_activation("dense", lamella.activation_of("threshold", threshold=0, default_value=7))
    assert m(x).tolist() == [[7, 7, 2]]
    for name, parameters in (("leaky_relu", {"alpha": 1}), ("none_such", {}), ("threshold", {})):
        with pytest.raises(lamella.ArgumentError):
            lamella.activation_of(name, **parameters)
    with pytest.raises(TypeError, match="allowed a str, lamella.activation_of"):
        m.set_activation("dense", 3)


@pytest.mark.parametrize("stack, error, words", [
    (lambda: [lamella.Dense(3)], lamella.ArgumentError, "begin with lamella.Input"),
    (lambda: [lamella.Input((3,))], lamella.ArgumentError, "at least one follows"),
    (lambda: [], lamella.ArgumentError, "begin with lamella.Input"),
    (lambda: [lamella.Input((3,)), "dense"], TypeError, "allowed are layers"),
    (lambda: [lamella.Input((3,)), lamella.Dense(2, name="a"), lamella.Dense(2, name="a")], lamella.ArgumentError, "named 'a'"),
    (lambda: [lamella.Input((3,)), lamella.Dense(0)], lamella.ArgumentError, "units"),
    (lambda: [lamella.Input((3,)), lamella.Dense("3")], TypeError, "units"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, "none_such")], lamella.ArgumentError, "none_such"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, 5)], TypeError, "activation: got 5"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, kernel_initializer="none_such")], lamella.ArgumentError, "none_such"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, kernel_initializer=5)], TypeError, "initializer: got 5"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, kernel_initializer={"class_name": "Zeros", "config": {"odd": 1}})], lamella.ArgumentError, "'odd'"),
    (lambda: [lamella.Input((3,)), lamella.Dense(3, dtype="float31")], lamella.ArgumentError, "float31"),
    (lambda: [lamella.Input((3,)), lamella.Reshape((7,))], lamella.ArgumentError, "E_SHAPE"),
])
def test_what_keras_refuses(stack, error, words):
    with pytest.raises(error, match=words):
        lamella.Sequential(stack(), **OPTIONS)


def test_options_and_values_are_checked():
    x = lamella.Input((3,))
    with pytest.raises(TypeError, match="no option is named 'treads'"):
        lamella.Sequential([lamella.Input((3,)), lamella.Dense(2)], treads=1)
    with pytest.raises(TypeError, match="outputs: got"):
        lamella.Functional(x, lamella.Dense(2), **OPTIONS)
    with pytest.raises(TypeError, match="x: got"):
        lamella.Dense(2)([1.0])
    with pytest.raises(lamella.ArgumentError):
        lamella.Functional(lamella.Input((3,)), lamella.Dense(2)(x), **OPTIONS)
