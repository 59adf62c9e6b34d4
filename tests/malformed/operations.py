# SPDX-License-Identifier: Apache-2.0
"""Operations between layers that are not calls, have invalid operands, or mix samples."""
from configs import HERE, functional
from pack import ACCEPTED, EITHER
from tiny import X, dense_config, input_layer, layer, relu_answer

T = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["x", 0, 0]}}
ALL = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
PART = {"class_name": "__slice__", "config": {"start": 0, "stop": 2, "step": None}}


def operation(class_name, args, kwargs=None, nodes=None, module="keras.src.ops.numpy", **config):
    nodes = [{"args": args, "kwargs": kwargs or {}}] if nodes is None else nodes
    return {"module": module, "class_name": class_name, "config": {"name": "op", **config}, "registered_name": class_name, "name": "op", "inbound_nodes": nodes}


def function(name, node, class_name="TFOpLambda"):
    return {"class_name": class_name, "config": {"name": "op", "trainable": True, "dtype": "float32", "function": name}, "name": "op", "inbound_nodes": [node]}


def model(first):
    """x, the operation, and the Dense layer whose weights the file has."""
    x = {**input_layer(), "name": "x", "inbound_nodes": []}
    listed = any(isinstance(node, list) for node in first["inbound_nodes"]) if isinstance(first["inbound_nodes"], list) else False
    node = [["op", 0, 0, {}]] if listed else {"args": [{**T, "config": {**T["config"], "keras_history": ["op", 0, 0]}}], "kwargs": {}}
    dense = {**layer("Dense", dense_config()), "name": "dense", "inbound_nodes": [node]}
    return functional([x, first, dense], [["x", 0, 0]], [["dense", 0, 0]])


def nested(depth, value=1.0):
    for _ in range(depth):
        value = [value]
    return value


def array(value, dtype="float32", class_name="__numpy__"):
    return {"class_name": class_name, "config": {"value": value, "dtype": dtype}}


def every(pack, tiny):
    def refuse(family, item, codes=("E_UNSUPPORTED",), words=HERE + ("layer 'op'",)):
        pack.case(family, tiny.keras(config=model(item), method=8), codes, words)

    any_code = ("E_UNSUPPORTED", "E_VALUE", "E_SHAPE", "E_JSON", "E_DTYPE", "E_MISSING", "E_LIMIT")
    for name in ("Cumsum", "", "multiply", "__import__", "system"):
        refuse("090 an operation that is not known", operation(name, [T]))
    for module in ("os.ops.numpy", "evil.ops.numpy", "keras_evil.ops.x", "numpy.ops.x"):
        refuse("090 an operation of another module", operation("Multiply", [T, 2.0], module=module), ("E_UNSAFE",))
    for operands in ([], [T], [2.0], [2.0, 3.0], [T, T, T], [T, None], [T, "2"], [T, True], [T, {}], [T, {"class_name": "__lambda__"}], [[T, T]], [T, [T]], [T, array("x")],
                     [T, array([1, "2", 3, 4])], [T, {"class_name": "__numpy__"}], [T, {"class_name": "__numpy__", "config": []}], [T, array([1.0, 2, 3, 4], "complex64")]):
        refuse("091 operands of another kind", operation("Multiply", operands), any_code)
    for value in ([1, 2], [1, 2, 3, 4, 5], [[1, 2, 3, 4]] * 3, [[[1, 2, 3, 4]]], [[1, 2], [3]], [[1, 2], 3], [1, [2]], [], [[]], nested(17), nested(40)):
        refuse("092 constants of another shape", operation("Add", [T, array(value)]), ("E_SHAPE", "E_UNSUPPORTED", "E_LIMIT"), ("op",))
    for nodes in (None, 3, [3], [{}], [{"args": 3}], [{"args": {"a": T}}], [[["x", 0, 0]]], [[3]], [{"args": [T], "kwargs": {"x2": T}}],
                  [{"args": [T, 2.0], "kwargs": {}}, {"args": [T, 3.0], "kwargs": {}}]):
        refuse("093 nodes of another form", operation("Multiply", [], nodes=nodes if nodes is not None else 3), any_code)
    for history in (None, [], ["x"], ["x", 0], ["x", "0", 0], ["x", 1, 0], ["x", 0, 1], ["nobody", 0, 0], ["op", 0, 0], ["x", -5, 0]):
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
        refuse("094 references that lead nowhere", operation("Multiply", [tensor, 2.0]), ("E_JSON", "E_VALUE", "E_MISSING"), HERE)
    for axis in (0, None, -2, [0, 1], 5, -5, [], [1, 1], "1", 1.5, 2**40, {}):
        refuse("095 axes of a reduction", operation("Mean", [T], axis=axis, keepdims=True), any_code, ("op",))
    for key, value in (("keepdims", 1), ("initial", 3.0), ("where", [True])):
        refuse("095 arguments of a reduction", operation("Max", [T], **{"axis": 1, key: value}), ("E_UNSUPPORTED", "E_VALUE"))
    for shape in ([], [2, 2], [4], [-1, -1], [-1, 3], [-1, 2**40], [-1, 2**31 - 1, 2**31 - 1, 2**31 - 1], 4, "4", None, [None, 4], [-1, 4.5], [-1] + [1] * 20 + [4]):
        refuse("096 shapes that mix samples", operation("Reshape", [T], newshape=shape), any_code + ("E_OVERFLOW",), ("op",))
    for axes in ([1, 0], None, [0], [0, 2], [0, 0], [0, 1, 2], "01", [0, 1.5]):
        refuse("096 orders that move the batch", operation("Transpose", [T], axes=axes), any_code, ("op",))
    for key in (0, PART, [PART], [0], [None], [None, ALL], [ALL, 4], [ALL, -5], [ALL, ALL, ALL], [ALL, [0, 1]], [ALL, T], [ALL, "1"], [ALL, True], [ALL, 1.5],
                [ALL, {"class_name": "__slice__", "config": {"start": 0, "stop": 2, "step": 0}}], [ALL, {"class_name": "__slice__", "config": {"start": "0", "stop": 2}}],
                [ALL, {"class_name": "__slice__", "config": {"start": 0, "stop": 2**60}}], [ALL, {"class_name": "__ellipsis__"}, {"class_name": "__ellipsis__"}], [ALL] * 100):
        refuse("097 slices", operation("GetItem", [T, key]), any_code, ("op",))
    for axis in (0, -3, 3, "0", [0], None, 2**40):
        refuse("098 new axes", operation("ExpandDims", [T], axis=axis) if axis is not None else operation("Squeeze", [T], axis=1), any_code, ("op",))
    for config in ({"x_min": "0", "x_max": 1}, {"x_min": float("nan"), "x_max": 1}, {"x_min": [0], "x_max": [1, 2]}, {"x_min": 0, "x_max": 1, "out": None}):
        refuse("099 limits", operation("Clip", [T], **config), ("E_VALUE", "E_UNSUPPORTED"))
    for name in ("os.system", "math.cumsum", "", "py_function", "numpy_function", None, 3, ["math.add"]):
        refuse("100 functions that are not known", function(name, ["x", 0, 0, {}]), ("E_UNSUPPORTED", "E_VALUE"))
    for node in ([], ["x"], ["x", 0], [["x", 0]], [[]], {}, 3, ["_CONSTANT_VALUE", -1, 2.0, {}], ["x", 0, 0, {"y": "2"}], ["x", 0, 0, {"y": [["x", 0, 0]]}], ["x", 0, 0, {"z": 3}]):
        refuse("100 nodes of a function", function("math.multiply", node), any_code, HERE)
    for constant, factor in ((0.5, 0.5), (2, 2), (1e-300, 0), (array(0.5), 0.5), (array([0.5]), 0.5)):
        scaled = tiny.keras(config=model(operation("Multiply", [T, constant])))
        pack.case("101 constants that are right", scaled, verdict=ACCEPTED, answer=(X, relu_answer(X * factor)))
    pack.case("101 a constant past float32", tiny.keras(config=model(operation("Multiply", [T, -1e300]))), verdict=EITHER)
