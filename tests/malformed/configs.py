# SPDX-License-Identifier: Apache-2.0
"""Configs that are not JSON, not a model, or request something that must be refused."""
import copy
import json

from pack import ACCEPTED, EITHER
from tiny import X, dense_config, dense_model, input_layer, layer, relu_answer, sequential, text_of

HERE = ("!config.json",)
DENSE = HERE + ("layer 'dense'",)
ANSWER = (X, relu_answer())


def text(pack, tiny):
    good = text_of(tiny.config)

    def refuse(family, data, codes=("E_JSON",), words=HERE):
        pack.case(family, tiny.keras(config=data, method=8 if len(data) > 10**5 else 0), codes, words)

    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"):
        for at in (0, len(good) // 2, len(good) - 1, good.index(b"dense") + 2):
            refuse("047 invalid UTF-8", good[:at] + bad + good[at:])
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"):
        refuse("048 another encoding", good.decode().encode(encoding))
    for escape in (b"\\ud800", b"\\udc00", b"\\ud800\\ud800", b"\\ud800x", b"\\u12", b"\\x41", b"\\"):
        refuse("049 broken escape", good.replace(b'"dense"', b'"' + escape + b'"', 1))
    for depth in (65, 66, 100, 1000, 10**6):
        for begin, end in ((b"[", b"]"), (b'{"a":', b"}")):
            middle = b"1"
            refuse("051 nested too deep", begin * depth + middle + end * depth, ("E_LIMIT",))
            refuse("051 nested too deep", begin * depth, ("E_LIMIT",))
    refuse("053 a million values", b"[" + b"0," * 1_000_100 + b"0]", ("E_LIMIT",))
    refuse("053 a million values", b"{" + b",".join(b'"%d":0' % i for i in range(1_000_100)) + b"}", ("E_LIMIT",))
    refuse("053 a million literals", b"[" + b"NaN," * 1_000_100 + b"0]", ("E_LIMIT",))
    for key in ("units", "name", "activation"):
        at = good.index(b'"' + key.encode() + b'"', good.index(b'"Dense"'))
        refuse("054 a key twice", good[:at] + b'"' + key.encode() + b'": 3, ' + good[at:])
    for literal in (b"1e999", b"-1e999", b"0x10", b"01", b"+1", b".5", b"5.", b"1e", b"nan", b"inf", b"NaNa", b"5NaN", b"--1", b"1_000", b"undefined"):
        refuse("055 numbers that are none", good.replace(b'"units": 3', b'"units": ' + literal, 1))
    for literal in (b"NaN", b"Infinity", b"-Infinity"):
        refuse("055 literals as units", good.replace(b'"units": 3', b'"units": ' + literal, 1), ("E_VALUE",), DENSE + ("field 'units'",))
    for tail in (b"x", b"{}", b"\0", b",", b"]", b"}", b'"'):
        refuse("058 bytes behind the document", good + tail)
    for top in (b"[]", b'"text"', b"1", b"null", b"true", b"[1]"):
        refuse("059 no object", top, ("E_UNSUPPORTED", "E_VALUE"))
    for end in range(1, len(good)):
        if pack.drawn():
            refuse("050 config cut off", good[:end])
    for at in range(len(good)):
        for byte in (0, 0x7F, 0xFF, good[at] ^ 1, good[at] ^ 32):
            if pack.drawn():
                pack.case("050 a changed byte", tiny.keras(config=good[:at] + bytes([byte]) + good[at + 1:]), (), (), EITHER)


def sizes(pack, tiny):
    def refuse(family, data, codes, words=HERE):
        pack.case(family, tiny.keras(config=data, method=8), codes, words)

    refuse("052 too much space", b" " * (65 << 20), ("E_LIMIT",))
    refuse("060 an endless name", text_of(dense_model(name="n" * (1 << 20))), ("E_LIMIT",))
    refuse("060 an endless name", text_of(dense_model(name="n" * 1025)), ("E_LIMIT",))
    many = [layer("Activation", {"name": f"a{i}", "activation": "relu"}) for i in range(100_100)]
    refuse("082 too many layers", text_of(sequential(input_layer(), *many)), ("E_LIMIT",))
    for depth in (33, 40):
        model = dense_model()
        for _ in range(depth):
            model = sequential(input_layer(), model)
        refuse("083 models in models", text_of(model), ("E_LIMIT",))
    refuse("060 names that multiply", text_of(nested_names()), ("E_LIMIT",))
    pack.case("080 ten thousand outputs of one name", tiny.keras(config=same_outputs(20_000), method=8), (), (), EITHER)
    pack.case("079 a chain written backwards", tiny.keras(config=backwards(20_000), method=8), (), (), EITHER)


def nested_names():
    inner = [layer("Activation", {"name": f"a{i}", "activation": "relu"}) for i in range(1000)]
    model = sequential(input_layer(), *inner)
    model["config"]["name"] = "n" * (1 << 20)
    model["name"] = "n" * (1 << 20)
    return sequential(input_layer(), model)


def functional(layers, inputs, outputs):
    return {"module": "keras", "class_name": "Functional", "config": {"name": "f", "layers": layers, "input_layers": inputs, "output_layers": outputs}}


def called(name, *refs):
    return {**layer("Activation", {"name": name, "activation": "relu"}), "name": name, "inbound_nodes": [[list(ref)] for ref in refs]}


def backwards(count):
    calls = [("a", i + 1, 0) for i in range(count)] + [("x", 0, 0)]
    return functional([{**input_layer(), "name": "x", "inbound_nodes": []}, called("a", *calls)], [["x", 0, 0]], [["a", 0, 0]])


def same_outputs(count):
    return functional([{**input_layer(), "name": "x", "inbound_nodes": []}, called("a", ("x", 0, 0))], [["x", 0, 0]], [["a", 0, 0]] * count)


def values(pack, tiny):
    def refuse(family, codes, words=DENSE, **changes):
        pack.case(family, tiny.keras(config=dense_model(**changes)), codes, words)

    units = DENSE + ("field 'units'",)
    for value in (64.0, "64", True, None, [3], {"a": 3}, "", -1.5):
        refuse("056 units of another type", ("E_VALUE",), units, units=value)
    for value in (2**63, 2**64 - 1):
        refuse("057 units that do not fit", ("E_OVERFLOW",), units, units=value)
    for value in (2**64, 10**30, -(2**63) - 1):
        refuse("057 units that do not fit", ("E_OVERFLOW",), HERE, units=value)
    for value in (0, -1, 2**31, -(2**63), 2**40):
        refuse("068 units out of range", ("E_VALUE",), units, units=value)
    for value in (1, 2, 4, 5, 2**31 - 1):
        refuse("068 units of another kernel", ("E_SHAPE",), ("model.weights.h5:/layers/dense/vars", "layer 'dense'", "kernel"), units=value)
    huge = sequential(input_layer(2**31 - 1), layer("Dense", dense_config(units=2**31 - 1)))
    pack.case("069 a kernel of 2^62 elements", tiny.keras(config=huge), ("E_OVERFLOW", "E_SHAPE"), ("layer 'dense'",))
    for name in ("relu7", "ReLu", "", "RELU", "sigmoid ", "os.system", "lambda", "keras.activations.nothing", "x" * 5000):
        refuse("070 unknown activation", ("E_VALUE",), DENSE + ("field 'activation'",), activation=name)
    for value in (3, ["relu"], [], {}, True, {"class_name": 3}, {"class_name": None}, {"name": "relu"}):
        refuse("071 activation of another type", ("E_VALUE",), DENSE + ("field 'activation'",), activation=value)
    custom = {"module": "builtins", "class_name": "function", "config": {"a": 1}, "registered_name": "f"}
    refuse("071 a custom function", ("E_UNSUPPORTED",), DENSE, activation=custom)
    for value in ("false", 0, 1, [], {}, "True", 1.0):
        refuse("072 use_bias of another type", ("E_VALUE",), DENSE + ("field 'use_bias'",), use_bias=value)
    for value in ("float128", "float31", "half", "complex64", "", "string"):
        refuse("075 unknown dtype", ("E_DTYPE",), DENSE + ("field 'dtype'",), dtype=value)
    for value in (32, [], True):
        refuse("075 dtype of another type", ("E_DTYPE",), DENSE + ("field 'dtype'",), dtype=value)
    dtype = DENSE + ("field 'dtype'",)
    for value in ("ternary_from_float32", "int5_from_float32", "int8_from_float16", "int8/4_from_float32", "gptq_from_float32", "gptq/4_from_float32",
                  "awq/4/8/2_from_float32", "INT8_from_float32"):
        refuse("076 quantized in an unknown way", ("E_UNSUPPORTED",), dtype, dtype=value)
    for value in ("int4/0", "int4/-2", "int4/x", "int4/", "int4/9999999999", "gptq/5/8", "gptq/4/0", "gptq/4/8x", "awq/8/8", "awq/-1/8"):
        refuse("076 quantized by numbers that are none", ("E_VALUE",), dtype, dtype=value + "_from_float32")
    for value in ("int8_from_", "int8_from_int8", "int8_from_float32_from_float32", "int4/8_from_int8_from_float32"):
        refuse("076 quantized from no dtype", ("E_DTYPE",), dtype, dtype=value)
    for value in ("int8_from_float32", "int4_from_bfloat16", "int4/8_from_float32", "float8_from_float32", "gptq/4/8_from_float32", "awq/4/-1_from_float32"):
        refuse("076 quantized, its weights are not", ("E_MISSING", "E_SHAPE"), ("layer 'dense'", "model.weights.h5"), dtype=value)
    for quantizer in ({"class_name": "Other", "config": {}}, {"class_name": "AbsMaxQuantizer", "config": {"output_dtype": "int4"}}):
        config = {"class_name": "Int8QuantizationConfig", "config": {"activation_quantizer": quantizer}}
        refuse("076 another quantizer", ("E_UNSUPPORTED",), DENSE + ("activation_quantizer",), dtype="int8_from_float32", quantization_config=config)
    for value_range in ([-129, 127], [0, 128], [5, 3], [1], [], [1, 2, 3], ["a", "b"], {}, 2.5, [-127.5, 127]):
        config = {"class_name": "Int8QuantizationConfig",
                  "config": {"activation_quantizer": {"class_name": "AbsMaxQuantizer", "config": {"value_range": value_range}}}}
        refuse("076 a range that is none", ("E_VALUE",), DENSE + ("value_range",), dtype="int8_from_float32", quantization_config=config)
    for config in (7, "int8", [], {"class_name": "Int8QuantizationConfig"}, {"config": []}, {"config": {"activation_quantizer": 3}}):
        refuse("076 a config that is none", ("E_VALUE",), DENSE + ("quantization_config",), dtype="int8_from_float32", quantization_config=config)
    for key in ("sparsity", "unit", "Units", "kernel", "units ", "function", "vocabulary", "\u202eunits"):
        refuse("084 unknown key", ("E_UNSUPPORTED",), DENSE, **{key: 1})
    for name, shown in (("a\0b", "\\x00"), ("a\x1b[31m", "\\x1B"), ("a\nb", "\\x0A"), ("a\u202eb", "\\xE2\\x80\\xAE"), ("a\x7f", "\\x7F"), ("a\u0085b", "\\xC2\\x85")):
        refuse("061 names that write to a terminal", ("E_VALUE",), HERE + (shown,), name=name, units=0)
    for key in ("units",):
        refuse("068 units missing", ("E_MISSING",), units, **{key: ...})


def shapes(pack, tiny):
    def refuse(family, shape, codes=("E_SHAPE",), words=HERE + ("layer 'x'",)):
        config = sequential(input_layer(batch_shape=shape), layer("Dense", dense_config()))
        pack.case(family, tiny.keras(config=config), codes, words)

    for shape in ([None, -1], [None, 1.5], [None, "4"], [None] + [1] * 17, "None", 4, {}, [None, True], [None, [4]]):
        refuse("074 input shapes", shape)
    refuse("074 input shapes", [None, 2**63], ("E_SHAPE", "E_OVERFLOW"))
    refuse("074 input shapes", [None, 2**40, 2**40], ("E_OVERFLOW",))
    for shape in ([None, 5], [None, 0], [None, 2, 2], [None, 2**31]):
        pack.case("073 an input of another width", tiny.keras(config=sequential(input_layer(batch_shape=shape), layer("Dense", dense_config()))),
                  ("E_SHAPE",), ("layer 'dense'",))
    pack.case("074 input shapes", tiny.keras(config=sequential(input_layer(batch_shape=[]), layer("Dense", dense_config()))), ("E_SHAPE",), HERE)


def classes(pack, tiny):
    def refuse(family, second, codes, words=HERE, third=()):
        pack.case(family, tiny.keras(config=sequential(input_layer(), second, *third)), codes, words)

    lambdas = ({"class_name": "__lambda__", "config": {"value": "4wEA", "defaults": None, "closure": None}}, ["4wEA", None, None],
               {"value": ["4wEA", None, None]})
    refuse("062 Lambda", layer("Lambda", {"name": "dense", "function": lambdas[0]}), ("E_UNSAFE",), DENSE + ("Lambda",))
    refuse("062 Lambda", layer("Lambda", {"name": "dense", "function": "relu"}), ("E_UNSAFE",), DENSE + ("Lambda",))
    for value in (lambdas[0], lambdas[2]):
        refuse("062 a lambda as activation", layer("Dense", dense_config(activation=value)), ("E_UNSAFE",), DENSE)
    for module, name in (("os", "system"), ("builtins", "eval"), ("subprocess", "run"), ("keras.config.evil", "enable_unsafe_deserialization"),
                         ("keras.config", "enable_unsafe_deserialization"), ("keras.utils", "get_file"), ("keras.src.saving", "load_model"),
                         ("shutil", "rmtree"), ("numpy", "load"), ("", "Dense"), ("kerasx", "Dense"), ("evil.keras.layers", "Dense")):
        item = {**layer(name, {"name": "dense"}), "module": module}
        refuse("063 code by name", item, ("E_UNSAFE", "E_UNSUPPORTED"), DENSE)
        item = {**layer(name, dense_config()), "module": module}
        refuse("064 code as an object", layer("Dense", dense_config(activation=item)), ("E_UNSAFE", "E_UNSUPPORTED", "E_VALUE"), HERE + ("layer 'dense",))
    for name, codes in (("TorchModuleWrapper", ("E_UNSAFE",)), ("TFSMLayer", ("E_UNSAFE",)), ("StringLookup", ("E_UNSUPPORTED",)), ("Conv2D", ("E_UNSUPPORTED",)),
                        ("HashedCrossing", ("E_UNSUPPORTED",)), ("LSTM", ("E_UNSUPPORTED",)), ("dense", ("E_UNSUPPORTED",)), ("", ("E_UNSUPPORTED",))):
        refuse("065 other classes", layer(name, {"name": "dense", "vocabulary": "/etc/passwd", "filepath": "/etc"}), codes, DENSE)
    for registered in ("pkg>Dense", "Custom>MyDense", ">"):
        refuse("066 registered class", {**layer("Dense", dense_config()), "registered_name": registered}, ("E_UNSUPPORTED",), DENSE)
    for module in ("evil", "evil.layers", "keras_evil", "kerasevil.layers", "tensorflow", "tf_kerasx"):
        refuse("067 right class of a wrong module", {**layer("Dense", dense_config()), "module": module}, ("E_UNSAFE",), DENSE)
    wrong = {"class_name": "Dense", "module": "keras.layers", "registered_name": None}
    for value in (None, [], 3, "text", ...):
        item = dict(wrong) if value is ... else {**wrong, "config": value}
        refuse("071 config of another type", item, ("E_JSON", "E_MISSING"), HERE)
    for value in (None, 3, [], {}):
        refuse("071 class of another type", {**wrong, "class_name": value, "config": dense_config()}, ("E_JSON", "E_UNSUPPORTED"), HERE)
    relus = ({"max_value": float("nan")}, {"negative_slope": float("nan")}, {"negative_slope": -1}, {"max_value": "6"}, {"threshold": -1},
             {"threshold": float("nan")}, {"max_value": -1})
    for config in relus:
        refuse("077 activation parameters", layer("ReLU", {"name": "dense", **config}), ("E_VALUE",), DENSE)
    for axis in (99, [1, -1], [], -99, 0.5, "1", [1.5], 0, 2**31, None.__class__.__name__):
        refuse("077 softmax axes", layer("Softmax", {"name": "dense", "axis": axis}), ("E_VALUE", "E_SHAPE", "E_UNSUPPORTED"), ("dense",))
    refuse("080 two layers of one name", layer("Dense", dense_config()), ("E_VALUE",), DENSE, (layer("Dense", dense_config()),))
    for empty in (sequential(), functional([], [], [])):
        pack.case("081 no layers", tiny.keras(config=empty), ("E_VALUE",), HERE)
    for missing in ("layers",):
        config = copy.deepcopy(dense_model())
        del config["config"][missing]
        pack.case("081 no layers", tiny.keras(config=config), ("E_MISSING",), HERE)


def graphs(pack, tiny):
    x = {**input_layer(), "name": "x", "inbound_nodes": []}

    def refuse(family, codes, *layers, inputs=(("x", 0, 0),), outputs=(("dense", 0, 0),), words=HERE):
        pack.case(family, tiny.keras(config=functional([x, *layers], list(inputs), list(outputs))), codes, words)

    dense = {**layer("Dense", dense_config()), "name": "dense"}
    for name in ("nobody", "", "X", "x "):
        refuse("078 a missing layer", ("E_MISSING",), {**dense, "inbound_nodes": [[[name, 0, 0]]]})
    for node, tensor in ((1, 0), (-1, 0), (0, 1), (0, -1), (2**31, 0), (0, 2**31), (2**62, 0), (-(2**63), 0)):
        refuse("078 a missing call", ("E_VALUE",), {**dense, "inbound_nodes": [[["x", node, tensor]]]})
    for ref in (["x"], ["x", 0], [0, 0, 0], ["x", "0", 0], ["x", 0.0, 0], "x", {}, None, 3):
        refuse("078 a reference of another form", ("E_JSON", "E_VALUE", "E_UNSUPPORTED", "E_MISSING"), {**dense, "inbound_nodes": [[ref]]})
    refuse("079 a cycle", ("E_VALUE",), {**dense, "inbound_nodes": [[["dense", 0, 0]]]})
    refuse("079 a cycle", ("E_VALUE",), called("a", ("b", 0, 0)), called("b", ("a", 0, 0)), outputs=(("a", 0, 0),))
    ring = [called(f"r{i}", (f"r{(i + 1) % 50}", 0, 0)) for i in range(50)]
    refuse("079 a cycle", ("E_VALUE",), *ring, outputs=(("r0", 0, 0),))
    refuse("080 two layers of one name", ("E_VALUE",), called("a", ("x", 0, 0)), called("a", ("x", 0, 0)), outputs=(("a", 0, 0),))
    good = {**dense, "inbound_nodes": [[["x", 0, 0]]]}
    for outputs in ((("dense", 1, 0),), (("dense", 0, 1),), (("nobody", 0, 0),), (("dense", -1, 0),)):
        refuse("078 outputs that are not there", ("E_VALUE", "E_MISSING"), good, outputs=outputs)
    refuse("081 no outputs", ("E_VALUE",), good, outputs=())
    refuse("078 an input that is none", ("E_VALUE",), good, inputs=(("dense", 0, 0),))
    refuse("078 an input twice", ("E_VALUE",), good, inputs=(("x", 0, 0), ("x", 0, 0)))
    refuse("078 no inputs", ("E_VALUE",), good, inputs=())
    refuse("078 called without inputs", ("E_VALUE",), {**dense, "inbound_nodes": [[]]})
    refuse("078 training", ("E_UNSUPPORTED",), {**dense, "inbound_nodes": [[["x", 0, 0, {"training": True}]]]})
    refuse("078 arguments", ("E_UNSUPPORTED",), {**dense, "inbound_nodes": [[["x", 0, 0, {"mask": 3}]]]})


def types_of_everything(pack, tiny):
    """Replaces each value of a whole config by one of every other type: it must be refused or harmless."""
    config = json.loads(text_of(tiny.config))

    def places(value, path=()):
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield from places(inner, path + (key,))

    for path in places(config):
        for other in (None, True, -1, 2**64 - 1, 1e308, "", "x", [], {}, [[]], {"class_name": "x"}, ["x", 0, 0]):
            changed = copy.deepcopy(config)
            target = changed
            for key in path[:-1]:
                target = target[key]
            if path:
                target[path[-1]] = other
            else:
                changed = other
            if pack.drawn():
                pack.case("071 every value of another type", tiny.keras(config=changed), (), (), EITHER)
            if path and isinstance(target, dict) and pack.drawn():
                del target[path[-1]]
                pack.case("071 every value left out", tiny.keras(config=changed), (), (), EITHER)


def harmless(pack, tiny):
    for changes in ({"lora_rank": 4}, {"lora_alpha": 8}, {"kernel_initializer": float("inf")}, {"bias_regularizer": [float("nan")]}, {"name": "\u00e4\u4e2d"}, {"name": "a" * 200}):
        pack.case("085 fields without effect", tiny.keras(config=dense_model(**changes)), verdict=ACCEPTED, answer=ANSWER)


def every(pack, tiny):
    for family in (text, sizes, values, shapes, classes, graphs, types_of_everything, harmless):
        family(pack, tiny)
