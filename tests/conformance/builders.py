# SPDX-License-Identifier: Apache-2.0
"""Writes tests/model/data/builders.json: the configs that Keras gives the layers and models which tests/model/builders_config_test.cpp
builds in C++, less the keys that lamella leaves out; and checks that Keras reads them so. Usage: builders.py OUT.json [FROM_LAMELLA.json]

FROM_LAMELLA.json, written by builders_config_test when LAMELLA_WRITE_CONFIGS names it, is read by Keras too.
ThresholdedReLU is not here: Keras 3 needs TensorFlow to make one."""
import json
import os
import sys
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
warnings.filterwarnings("ignore")

import keras
import numpy as np
from keras import layers as L

# Keys that only some versions of Keras 3 know, or that only record how Keras built the object, with their defaults.
LEFT_OUT = {"quantization_config": None, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99, "rms_scaling": False,
            "input_axes": None, "output_axes": None, "ragged": False, "optional": False}


def stripped(value):
    if isinstance(value, list | tuple):
        return [stripped(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        if key in LEFT_OUT:
            assert item == LEFT_OUT[key], (key, item)
        elif key in ("build_config", "compile_config", "shared_object_id"):
            pass
        elif key == "kwargs":
            assert not any(item.values()), item
            result[key] = {}
        else:
            result[key] = stripped(item)
    return result


def layer_cases():
    """Names and layers, in the file's order."""
    for cases in (dense_and_activations, dropout_and_shapes, normalizations_and_einsum, pooling_to_wrappers, affine_and_merges):
        yield from cases()


def dense_and_activations():
    yield "input", L.InputLayer(batch_shape=(None, 8))
    yield "input_all", L.InputLayer(batch_shape=(None, None, 3), dtype="float16", name="x")
    yield "dense", L.Dense(4)
    yield "dense_all", L.Dense(3, activation="tanh", use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed=5),
                               bias_initializer=keras.initializers.Constant(0.5),
                               kernel_regularizer=keras.regularizers.L2(0.25), bias_regularizer=keras.regularizers.L2(0.25),
                               activity_regularizer=keras.regularizers.L2(0.25), kernel_constraint=keras.constraints.NonNeg(),
                               bias_constraint=keras.constraints.NonNeg(), name="fc", trainable=False, dtype="mixed_bfloat16")
    yield "dense_leaky_relu", L.Dense(3, activation=L.LeakyReLU(negative_slope=0.1, name="leaky"))
    yield "dense_prelu", L.Dense(3, activation=L.PReLU(name="alpha"))
    for name in ("celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid "
                 "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax "
                 "squareplus swish tanh tanh_shrink").split():
        yield "activation_" + name, L.Activation(name)
    yield "relu", L.ReLU()
    yield "relu_all", L.ReLU(max_value=6.0, negative_slope=0.125, threshold=0.5, name="r", trainable=False, dtype="float16")
    yield "leaky_relu", L.LeakyReLU()
    yield "prelu", L.PReLU()
    yield "prelu_all", L.PReLU(alpha_initializer="he_normal", alpha_regularizer=keras.regularizers.L2(0.25),
                               alpha_constraint=keras.constraints.NonNeg(), shared_axes=[1, 2])
    yield "elu", L.ELU()
    yield "softmax", L.Softmax()
    yield "softmax_axes", L.Softmax(axis=[1, 2])


def dropout_and_shapes():
    yield "dropout", L.Dropout(0.5)
    yield "dropout_all", L.Dropout(0.25, noise_shape=(None, 1, 3), seed=7)
    yield "alpha_dropout", L.AlphaDropout(0.25, noise_shape=(None, 1), seed=3)
    yield "gaussian_dropout", L.GaussianDropout(0.25, seed=3)
    yield "gaussian_noise", L.GaussianNoise(0.25)
    yield "spatial_dropout", L.SpatialDropout1D(0.25, seed=3)
    yield "spatial_dropout2d", L.SpatialDropout2D(0.25, seed=3)
    yield "spatial_dropout3d", L.SpatialDropout3D(0.25)
    yield "activity_regularization", L.ActivityRegularization(0.5, 0.25)
    yield "identity", L.Identity()
    yield "flatten", L.Flatten()
    yield "flatten_first", L.Flatten(data_format="channels_first")
    yield "reshape", L.Reshape((2, -1))
    yield "permute", L.Permute((2, 1))
    yield "repeat_vector", L.RepeatVector(3)
    yield "masking", L.Masking()
    yield "masking_value", L.Masking(mask_value=-1.0)


def normalizations_and_einsum():
    yield "rms_normalization", L.RMSNormalization()
    yield "rms_normalization_axes", L.RMSNormalization(axis=[1, 2], epsilon=0.5)
    yield "unit_normalization", L.UnitNormalization()
    yield "unit_normalization_axes", L.UnitNormalization(axis=[1, 2])
    yield "group_normalization", L.GroupNormalization()
    yield "group_normalization_all", L.GroupNormalization(
        groups=-1, axis=1, epsilon=0.5, center=False, scale=False, beta_initializer="ones", gamma_initializer="zeros",
        beta_regularizer=keras.regularizers.L2(0.25), gamma_regularizer=keras.regularizers.L2(0.25),
        beta_constraint=keras.constraints.NonNeg(), gamma_constraint=keras.constraints.NonNeg())
    yield "einsum_dense", L.EinsumDense("ab,bc->ac", 5)
    yield "einsum_dense_all", L.EinsumDense(
        "abc,cde->abde", (None, 2, 3), activation="tanh", bias_axes="de", kernel_initializer=keras.initializers.HeNormal(seed=5),
        bias_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.25), bias_regularizer=keras.regularizers.L2(0.25),
        activity_regularizer=keras.regularizers.L2(0.25), kernel_constraint=keras.constraints.NonNeg(),
        bias_constraint=keras.constraints.NonNeg())


def pooling_to_wrappers():
    for kind in (L.GlobalAveragePooling1D, L.GlobalMaxPooling1D):
        yield keras.src.utils.naming.to_snake_case(kind.__name__), kind()
        yield keras.src.utils.naming.to_snake_case(kind.__name__) + "_all", kind(data_format="channels_first", keepdims=True)
    yield "cropping1d", L.Cropping1D()
    yield "cropping1d_sides", L.Cropping1D((0, 2))
    yield "zero_padding1d", L.ZeroPadding1D()
    yield "zero_padding1d_sides", L.ZeroPadding1D((0, 2), data_format="channels_first")
    yield "category_encoding", L.CategoryEncoding(7)
    yield "category_encoding_count", L.CategoryEncoding(7, output_mode="count")
    yield "discretization", L.Discretization([-1.0, 0.5])
    yield "discretization_one_hot", L.Discretization([-1.0, 0.5], output_mode="one_hot")
    yield "embedding", L.Embedding(7, 3)
    yield "embedding_all", L.Embedding(7, 3, embeddings_initializer="ones", embeddings_regularizer=keras.regularizers.L2(0.25),
                                       embeddings_constraint=keras.constraints.NonNeg(), mask_zero=True)
    yield "dot", L.Dot(axes=1)
    yield "dot_axes", L.Dot(axes=(1, 2), normalize=True)
    yield "time_distributed", L.TimeDistributed(L.Dense(2))


def affine_and_merges():
    yield "batch_normalization", L.BatchNormalization()
    yield "batch_normalization_all", L.BatchNormalization(
        axis=1, momentum=0.5, epsilon=0.25, center=False, scale=False, beta_initializer="ones", gamma_initializer="zeros",
        moving_mean_initializer="ones", moving_variance_initializer="zeros", beta_regularizer=keras.regularizers.L2(0.25),
        gamma_regularizer=keras.regularizers.L2(0.25), beta_constraint=keras.constraints.NonNeg(),
        gamma_constraint=keras.constraints.NonNeg())
    yield "layer_normalization", L.LayerNormalization()
    yield "layer_normalization_axes", L.LayerNormalization(axis=[1, 2], epsilon=0.5, center=False)
    yield "rescaling", L.Rescaling(0.5)
    yield "rescaling_lists", L.Rescaling([0.5, 2.0], offset=[1.0, -1.0])
    yield "normalization", L.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.25])
    yield "normalization_none", L.Normalization(axis=None, mean=1.0, variance=4.0, invert=True)
    for layer in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate):
        yield layer.__name__.lower(), layer()
    yield "concatenate_axis", L.Concatenate(axis=1)


def sequential():
    return keras.Sequential([keras.Input((8,)), L.Dense(4, activation="relu"), L.Dropout(0.5), L.BatchNormalization(), L.Dense(3), L.Softmax()])


def sequential_unbuilt():
    return keras.Sequential([L.Dense(4), L.Dense(2, name="last"), L.Dense(2)])


def sequential_nested():
    inner = keras.Sequential([L.Dense(4, name="a"), L.PReLU(name="b")], name="inner")
    return keras.Sequential([keras.Input((8,), name="x"), inner, L.Dense(2, name="last")], name="outer")


def functional():
    a = keras.Input((8,))
    b = keras.Input((8,), name="b")
    unused = keras.Input((2,))
    shared = L.Dense(4)
    p = L.Dense(4)(shared(a))
    q = shared(b)
    merged = [layer()([p, q]) for layer in (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)]
    return keras.Model([b, unused, a], [L.Concatenate()(merged), shared(L.Concatenate()([p, q])), q])


def functional_one():
    x = keras.Input((None, 4))
    y = L.Flatten()(L.Dense(3)(x))
    return keras.Model([x], y, name="one", trainable=False)


def functional_nested():
    x = keras.Input((4,), name="inner_x")
    inner = keras.Model(x, [L.Dense(4, name="inner_dense")(x), L.Softmax(name="inner_softmax")(x)], name="inner")
    tower = keras.Sequential([keras.Input((4,), name="tower_x"), L.Dense(4, name="tower_dense")], name="tower")
    a = keras.Input((4,), name="a")
    p, q = inner(a)
    r, s = inner(tower(q))
    return keras.Model(a, [p, tower(s), r], name="outer")


MODELS = (sequential, sequential_unbuilt, sequential_nested, functional, functional_one, functional_nested)


def read_back(class_name, config):
    cls = {"Sequential": keras.Sequential, "Functional": keras.Model}.get(class_name) or getattr(L, class_name)
    return cls.from_config(config)


def check(name, class_name, config, original=None):
    """Keras reads `config`; the object has the same config and computes the same."""
    back = read_back(class_name, json.loads(json.dumps(config)))
    assert stripped(back.get_config()) == config, name
    if original is not None and original.built:
        back.set_weights(original.get_weights())
        rng = np.random.default_rng(1)
        x = [rng.normal(size=[3] + [5 if n is None else n for n in i.shape[1:]]).astype("float32") for i in original.inputs]
        for y, z in zip(keras.tree.flatten(original.predict(x, verbose=0)), keras.tree.flatten(back.predict(x, verbose=0))):
            np.testing.assert_array_equal(y, z)


def main():
    result = {"keras_version": keras.__version__, "layers": {}, "models": {}}
    generator = layer_cases()
    while True:
        keras.utils.clear_session()  # restarts the numbering of names
        case = next(generator, None)
        if case is None:
            break
        name, layer = case
        result["layers"][name] = stripped(json.loads(json.dumps(layer.get_config())))
        check(name, type(layer).__name__, result["layers"][name])
    for make in MODELS:
        keras.utils.clear_session()
        model = make()
        result["models"][make.__name__] = stripped(json.loads(json.dumps(model.get_config())))
        check(make.__name__, type(model).__name__, result["models"][make.__name__], model)
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as written:
            for entry in json.load(written):
                check(entry["case"], entry["class_name"], entry["config"])
                print("Keras reads", entry["case"])


if __name__ == "__main__":
    main()
