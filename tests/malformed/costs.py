# SPDX-License-Identifier: Apache-2.0
"""Small files that require much work: they must be refused, or handled within the time and memory that the runner allows."""
from pack import EITHER
from tiny import dense_config, input_layer, layer, sequential, text_of

HERE = ("!config.json",)


def model_of(layers, inputs, outputs, name="m"):
    return {"class_name": "Functional", "name": name,
            "config": {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}}


def called(class_name, name, nodes, config=None):
    return {"class_name": class_name, "name": name, "config": {"name": name, **(config or {})}, "inbound_nodes": nodes}


def chain_of(layers, calls, prefix=""):
    """A nested model of `layers` layers, called `calls` times."""
    x = called("InputLayer", "x", [], {"batch_shape": [None, 1]})
    names = [f"{prefix}{i}" for i in range(layers)]
    inner = [x] + [called("Activation", name, [[[before, 0, 0, {}]]], {"activation": "tanh"}) for before, name in zip(["x", *names], names)]
    nested = model_of(inner, [["x", 0, 0]], [[names[-1], 0, 0]], "inner")
    nested["inbound_nodes"] = [[["x", 0, 0, {}] if i == 0 else ["inner", i, 0, {}]] for i in range(calls)]
    return model_of([x, nested], [["x", 0, 0]], [["inner", calls, 0]])


def merged(class_name, count, config=None):
    """A layer that gets the same input `count` times."""
    x = called("InputLayer", "x", [], {"batch_shape": [None, 1]})
    return model_of([x, called(class_name, "m", [[["x", 0, 0, {}]] * count], config)], [["x", 0, 0]], [["m", 0, 0]])


def branches(count):
    x = called("InputLayer", "x", [], {"batch_shape": [None, 1]})
    many = [called("Activation", f"a{i}", [[["x", 0, 0, {}]]], {"activation": "tanh"}) for i in range(count)]
    joined = called("Concatenate", "c", [[[f"a{i}", 0, 0, {}] for i in range(count)]], {"axis": -1})
    return model_of([x, *many, joined], [["x", 0, 0]], [["c", 0, 0]])


def every(pack, tiny):
    def refuse(family, model):
        pack.case(family, tiny.keras(config=text_of(model), method=8), ("E_LIMIT",), HERE)

    def bear(family, model):
        pack.case(family, tiny.keras(config=text_of(model), method=8), (), (), EITHER)

    refuse("113 calls that multiply", chain_of(1000, 1000))
    refuse("113 calls that multiply, with long names", chain_of(1000, 60, "n" * 900))
    bear("113 sixty thousand calls", chain_of(300, 200))
    bear("113 calls with long names", chain_of(300, 25, "n" * 900))
    for class_name, config in (("Add", None), ("Concatenate", {"axis": -1})):
        refuse("114 inputs without end", merged(class_name, 70_000, config))
        bear("114 sixty thousand inputs", merged(class_name, 60_000, config))
    bear("114 twenty thousand branches", branches(20_000))
    for depth, filler in ((10, 10), (26, 1_000_000), (3, 30_000_000)):
        dense = layer("Dense", dense_config(units=1, seed="x" * filler))
        for _ in range(depth):
            dense = layer("Dense", dense_config(units=1, activation=dense))
        refuse("115 layers inside each other", sequential(input_layer(), dense))
