#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lamella's backend in a real Triton Inference Server: Keras' results, many clients, invalid requests, models replaced under load.

Usage: triton_test.py BACKENDS       the folder that has lamella/libtriton_lamella.so
"""
import argparse
import json
import pathlib
import tempfile
import threading
import time
import traceback

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

import models
import waits
from models import close
from server import ROOT, Server, add_model, infer, request

FIXTURES = ROOT / "tests/fixtures"
passed, failures = 0, []


def check(good, *what):
    global passed
    if good:
        passed += 1
    else:
        failures.append(" ".join(map(str, what)))
        print("FAILED:", failures[-1], flush=True)


def refused(words, what, *arguments, status=None, **named):
    """Checks that the call raises the server's error with all these words, and that the server keeps running."""
    try:
        what(*arguments, **named)
    except InferenceServerException as error:
        missing = [word for word in words if word not in str(error)]
        check(not missing, "no", missing, "in the error:", str(error))
        check(status is None or error.status() == status, "status", error.status(), "instead of", status, "of", str(error))
    else:
        check(False, "not refused:", *words)


def every_fixture(server, repository):
    """Each of Keras' models, without a configuration, over both protocols: Keras' outputs with Keras' names."""
    for case in models.cases("keras3") + models.cases("keras2"):
        name = case.name + ".lamella"
        add_model(repository, name, case.file, config=None, as_name="model" + case.file.suffix)
        server.load(name)
        outputs = [port["name"] for port in server.config(name)["output"]]
        named = "dict" not in name and len(set(case.output_names)) == len(case.output_names)  # for a dict, outputs are named by its keys
        check(outputs == case.output_names or not named, name, "is said to have the outputs", outputs)
        types = {port["name"]: triton_to_np_dtype(port["data_type"].removeprefix("TYPE_")) for port in server.config(name)["input"]}
        inputs = {port: array.astype(types[port]) for port, array in case.inputs.items()}
        if any(np.issubdtype(array.dtype, np.integer) and not np.array_equal(array, case.inputs[port]) for port, array in inputs.items()):
            continue  # Keras converts out-of-range numbers differently from NumPy
        for client in (server.http, server.grpc):
            try:
                answers = infer(client, name, inputs)
            except InferenceServerException as error:
                check(False, case.name, error)
                continue
            check(set(answers) == set(outputs), case.name, "has the outputs", list(answers))
            for output, wanted in zip(outputs, case.outputs, strict=True):
                check(close(answers[output], wanted, case.dtype), case.name, output, "is not what Keras has:", answers[output].ravel()[:4], wanted.ravel()[:4])
        server.grpc.unload_model(name)


def completed_configuration(server, repository):
    graph, mlp = models.case("keras3", "graph"), models.mlp()
    add_model(repository, "graph", graph.file)
    server.load("graph")
    config = server.config("graph")
    fields = [[port["name"], port["data_type"], port["dims"]] for port in config["input"] + config["output"]]
    check(fields == [["a", "TYPE_FP32", [4]], ["b", "TYPE_FP32", [3]], ["out", "TYPE_FP32", [2]], ["inner", "TYPE_FP32", [6]]], "completed:", fields)
    check(config["max_batch_size"] == 512 and "dynamic_batching" in config, "completed:", config)
    check(list(infer(server.http, "graph", graph.inputs, ["inner"])) == ["inner"], "an output that was not requested is sent")
    answer = infer(server.grpc, "graph", dict(reversed(graph.inputs.items())))
    check(close(answer["out"], graph.outputs[0]), "inputs in another order")

    add_model(repository, "one_by_one", mlp.file, 'backend: "lamella"\nmax_batch_size: 1')
    server.load("one_by_one")
    check("dynamic_batching" not in server.config("one_by_one"), "rows that may not be joined are joined")
    refused(["batch-size"], infer, server.http, "one_by_one", {"pixels": mlp.inputs["pixels"][:2]})

    with_batch = 'backend: "lamella"\ninput { name: "pixels" data_type: TYPE_FP32 dims: [-1, 784] }'
    add_model(repository, "with_batch", mlp.file, with_batch)
    server.load("with_batch")
    check(server.config("with_batch")["max_batch_size"] == 0, "the batch among dims is Triton's nevertheless")
    check(close(infer(server.grpc, "with_batch", mlp.inputs)["digit"], mlp.outputs[0]), "without Triton's batching")

    reshaped = 'backend: "lamella"\nmax_batch_size: 64\ninput { name: "pixels" data_type: TYPE_FP32 dims: [28, 28] reshape { shape: [784] } }'
    add_model(repository, "reshaped", mlp.file, reshaped)
    server.load("reshaped")
    check(close(infer(server.http, "reshaped", {"pixels": mlp.inputs["pixels"].reshape(-1, 28, 28)})["digit"], mlp.outputs[0]), "a reshaped input")

    options = "\n".join(f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in (("threads", 1), ("engine", "reference"), ("dtype", "float64")))
    add_model(repository, "options", mlp.file, f'backend: "lamella"\n{options}\ninstance_group [{{ count: 2, kind: KIND_CPU }}]')
    server.load("options")
    config = server.config("options")
    types = [port["data_type"] for port in config["input"] + config["output"]]
    check(len(set(types)) >= 1 and config["instance_group"][0]["count"] == 2, "options:", config)
    answer = infer(server.grpc, "options", {"pixels": mlp.inputs["pixels"].astype(np.float32 if types[0] == "TYPE_FP32" else np.float64)})
    check(close(answer["digit"], mlp.outputs[0]), "options change the numbers")


def models_that_do_not_fit(server, repository):
    """Invalid configurations: each is refused on load with a reason, and the server keeps running."""
    file = models.mlp().file
    port = 'input {{ name: "{}" data_type: {} dims: [{}] }}'
    broken = repository.parent / "broken.keras"
    broken.write_bytes(file.read_bytes()[:5000])
    cases = {
        "no_file": (None, "", ["no model file", "model.keras, model.h5"]),
        "other_file": (file, 'default_model_filename: "other.keras"', ["looked for: other.keras"]),
        "broken": (broken, "", ["model.keras", "E_ARCHIVE"]),
        "unknown_parameter": (file, 'parameters { key: "thread" value { string_value: "1" } }', ["parameter 'thread'", "known: ", "threads"]),
        "bad_parameter": (file, 'parameters { key: "threads" value { string_value: "many" } }', ["parameter 'threads'", "got 'many'"]),
        "device": (file, 'parameters { key: "device" value { string_value: "cpu" } }', ["parameter 'device'", "instance_group"]),
        "input_name": (file, port.format("x", "TYPE_FP32", 784), ["input 'x'", "there are: 'pixels'"]),
        "input_type": (file, port.format("pixels", "TYPE_INT64", 784), ["input 'pixels': data_type: got TYPE_INT64, the model has TYPE_FP32"]),
        "input_dims": (file, port.format("pixels", "TYPE_FP32", 783), ["input 'pixels': dims: got [783], the model has [784]"]),
        "strings": (file, port.format("pixels", "TYPE_STRING", 784), ["got TYPE_STRING"]),
        "optional": (file, 'max_batch_size: 8 input { name: "pixels" data_type: TYPE_FP32 dims: [784] optional: true }', ["optional: got true"]),
        "ragged": (file, 'max_batch_size: 8 input { name: "pixels" data_type: TYPE_FP32 dims: [784] allow_ragged_batch: true }', ["allow_ragged_batch"]),
        "output": (file, 'output { name: "digits" data_type: TYPE_FP32 dims: [10] }', ["output 'digits'", "there are: 'digit'"]),
        "on_model": (file, "instance_group [{ kind: KIND_MODEL }]", ["KIND_MODEL", "KIND_CPU, KIND_GPU"]),
        "on_gpu": (file, "instance_group [{ kind: KIND_GPU, gpus: [0] }]", ["GPU"]),
        "half": (models.case("keras3", "graph").file, port.format("a", "TYPE_FP32", 4), ["input 'b': missing", "'a', 'b'"]),
    }
    for name, (model, config, words) in cases.items():
        add_model(repository, name, model, f'backend: "lamella"\n{config}', as_name="model.keras")
        refused(words, server.load, name)
    add_model(repository, "both", file)
    (repository / "both/1/model.h5").write_bytes(b"")
    refused(["model.keras and model.h5 are both there"], server.load, "both")
    check(server.alive() and server.http.is_server_live(), "the server ended because of an invalid model")


def hostile_requests(server, repository):
    mlp, graph = models.mlp(), models.case("keras3", "graph")
    add_model(repository, "mlp", mlp.file)
    server.load("mlp")
    x = mlp.inputs["pixels"]
    a, b = graph.inputs["a"], graph.inputs["b"]
    for client, bad in ((server.http, "400"), (server.grpc, "StatusCode.INVALID_ARGUMENT")):
        for inputs, words in (({"pixels": x[:, :783]}, ["pixels", "784"]), ({"pixels": x[0]}, ["512"]), ({"pixels": x.astype(np.float64)}, ["FP64", "FP32"]),
                              ({"picture": x}, ["picture"]), ({"pixels": np.full((2, 784), "a", object)}, ["pixels"]), ({"pixels": x[:0]}, []),
                              ({"pixels": np.zeros((513, 784), np.float32)}, ["512"]), ({"pixels": x, "more": x}, [])):
            refused(words, infer, client, "mlp", inputs, status=bad)
        refused(["b"], infer, client, "graph", {"a": a}, status=bad)
        refused([], infer, client, "graph", {"a": a, "b": b[:2]}, status=bad)
        refused(["nothing"], infer, client, "mlp", {"pixels": x}, ["nothing"])
        refused([], infer, client, "absent", {"pixels": x})
        check(close(infer(client, "mlp", {"pixels": x})["digit"], mlp.outputs[0]), "wrong after requests that do not fit")
    with_no_batch = models.mlp().inputs["pixels"]
    refused(["[E_SHAPE]", "shape: got [0, 784]"], infer, server.grpc, "with_batch", {"pixels": with_no_batch[:0]})
    raw_requests(server, x)
    bools(server, repository)


def raw_requests(server, x):
    """Bytes that no client library would send: each request is refused or answered, and the server keeps running."""
    import urllib.request

    def post(body, header=None):
        length = {} if header is None else {"Inference-Header-Content-Length": str(header)}
        asked = urllib.request.Request(f"http://127.0.0.1:{server.http_port}/v2/models/mlp/infer", data=body, headers=length)
        try:
            with urllib.request.urlopen(asked, timeout=waits.LIMIT) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def head(shape, size, pad=""):
        return json.dumps({"inputs": [{"name": "pixels", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": size}}]}).encode() + pad.encode()

    one = x[:1].tobytes()
    for shape, size, body in (([1, 784], 3136, one[:100]), ([1, 784], 100, one[:100]), ([2, 784], 3136, one), ([1, 784], 3136, b""), ([-1, 784], 3136, one),
                              ([1 << 62, 784], 3136, one), ([1, 1 << 62], 3136, one), ([1] * 70, 4, one[:4]), ([], 3136, one)):
        text = head(shape, size)
        check(400 <= post(text + body, len(text)) < 600, "answered:", shape, size, len(body))
    for text in (b"", b"{", b"[]", b'{"inputs": 1}', b'{"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 784], "data": ["a"]}]}',
                 b'{"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}', b"\0" * 100):
        check(400 <= post(text) < 600, "answered:", text)
    for pad in ("", " ", "  ", "   "):  # data at every address modulo 4
        text = head([1, 784], 3136, pad)
        check(post(text + one, len(text)) == 200, "not answered: numbers behind", len(text), "bytes")
    check(server.alive() and server.http.is_server_live(), "the server ends")


def bools(server, repository):
    case = models.case("keras3", "integers_kept_bool")
    add_model(repository, "bools", case.file)
    server.load("bools")
    (name, array), = case.inputs.items()
    check(array.dtype == bool, "the model takes", array.dtype)
    made = tritonclient.grpc.InferInput(name, list(array.shape), "BOOL")
    made.set_data_from_numpy(array)
    made._raw_content = b"\x02" * array.size
    refused([f"input '{name}'", "neither 0 nor 1"], server.grpc.infer, "bools", [made], status="StatusCode.INVALID_ARGUMENT")


def many_clients(server, repository):
    """8 clients over both protocols, batches of 1 to 7 rows, some requests invalid: every answer belongs to its request."""
    mlp, open_shape = models.mlp(), models.case("keras3", "none_inner_dim")
    add_model(repository, "steps", open_shape.file, 'backend: "lamella"\ndynamic_batching { max_queue_delay_microseconds: 2000 }')
    server.load("steps")
    add_model(repository, "queued", mlp.file, 'backend: "lamella"\ndynamic_batching { max_queue_delay_microseconds: 2000 }\ninstance_group [{ count: 2, kind: KIND_CPU }]')
    server.load("queued")
    x, wanted = mlp.inputs["pixels"], mlp.outputs[0]
    steps, _ = open_shape.inputs["input_layer"], open_shape.outputs[0]
    alone = {length: infer(server.grpc, "steps", {"input_layer": steps[:, :length]})["dense"] for length in (1, 2, 3, 5)}
    check(close(alone[5], open_shape.outputs[0]), "open shapes are not what Keras has")
    answered, wrong = [0] * 8, []

    def client(number):
        draw = np.random.default_rng(number)
        own = server.http_client() if number % 2 else server.grpc_client()
        for turn in range(150):
            first, rows = int(draw.integers(0, 50)), int(draw.integers(1, 8))
            try:
                got = infer(own, "queued", {"pixels": x[first:first + rows]})["digit"]
                if not close(got, wanted[first:first + rows]):
                    wrong.append(("queued", number, turn))
                length = int(draw.choice([1, 2, 3, 5]))
                got = infer(own, "steps", {"input_layer": steps[:, :length]})["dense"]
                if not close(got, alone[length]):
                    wrong.append(("steps", number, turn, length))
                if turn % 10 == 0:
                    try:
                        infer(own, "queued", {"pixels": x[:2, :5]})
                        wrong.append(("answered", number, turn))
                    except InferenceServerException:
                        pass
                answered[number] += 2
            except Exception as error:  # otherwise a client that ends early would look like one that was answered
                wrong.append((number, turn, repr(error)))
        own.close()

    in_threads(8, client)
    check(not wrong, "of 8 clients:", len(wrong), wrong[:3])
    check(answered == [300] * 8, "requests lost:", answered)
    stats = server.grpc.get_inference_statistics("queued", as_json=True)["model_stats"][0]
    inferences, executions = int(stats["inference_count"]), int(stats["execution_count"])
    check(executions < inferences * 0.7, "requests were not joined:", inferences, "rows of", executions, "executions")
    check(any(int(batch["batch_size"]) > 7 for batch in stats["batch_stats"]), "no batch has the rows of several requests")


def reload_under_load(server, repository):
    """Two models take turns under one name with 8 clients: every request gets the results of one of them, and after a reload those of the new one."""
    first, second = models.case("keras3", "flatten_rank2"), models.case("keras3", "sequential_in_functional")
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    answers = []
    for case, name in ((first, "first"), (second, "second")):
        add_model(repository, name, case.file)
        server.load(name)
        check(close(infer(server.grpc, name, case.inputs)["dense"], case.outputs[0]), name, "is not what Keras has")
        answers.append(infer(server.grpc, name, {"input_layer": x})["dense"])
    check(not close(*answers), "the two models cannot be told apart")
    add_model(repository, "turns", first.file)
    server.load("turns")
    stop, wrong, counts = threading.Event(), [], [0] * 8

    def client(number):
        own = server.http_client() if number % 2 else server.grpc_client()
        while not stop.is_set():
            try:
                got = infer(own, "turns", {"input_layer": x})["dense"]
                if not any(close(got, answer) for answer in answers):
                    wrong.append((number, got[0]))
                counts[number] += 1
            except Exception as error:
                wrong.append((number, repr(error)))
        own.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        which = (turn + 1) % 2
        time.sleep(0.02)  # the server compares times of files
        fresh = repository / "turns/1/fresh"
        fresh.write_bytes((first, second)[which].file.read_bytes())
        fresh.rename(repository / "turns/1/model.keras")
        server.load("turns")
        check(close(infer(server.http, "turns", {"input_layer": x})["dense"], answers[which]), "after reload", turn, "the old model answers")
    waits.until(lambda: min(counts) > 20 or wrong)
    stop.set()
    for thread in threads:
        thread.join()
    check(not wrong, "while models were exchanged:", len(wrong), wrong[:3])
    check(min(counts) > 20, "too few requests to tell:", counts)
    print(f"{sum(counts)} requests of 8 clients during 20 reloads, {len(wrong)} wrong or lost", flush=True)


def metrics(server):
    """The server's counters of this model."""
    def counted(name):
        lines = [line for line in server.metrics().splitlines() if line.startswith(name + "{") and 'model="counted"' in line]
        return sum(float(line.split()[-1]) for line in lines)

    for _ in range(3):
        infer(server.grpc, "counted", models.mlp().inputs)
    refused([], infer, server.grpc, "counted", {"pixels": np.zeros((0, 784), np.float32)})
    waits.until(lambda: counted("nv_inference_request_failure") >= 1)
    check(counted("nv_inference_request_success") == 3, "successes:", counted("nv_inference_request_success"))
    check(counted("nv_inference_request_failure") == 1, "failures:", counted("nv_inference_request_failure"))
    check(counted("nv_inference_exec_count") == 3, "executions:", counted("nv_inference_exec_count"))
    for time_of in ("input", "infer", "output"):
        check(counted(f"nv_inference_compute_{time_of}_duration_us") > 0, "no time of", time_of)


def without_completion(server, repository):
    """--disable-auto-complete-config: the written configuration is served unchanged."""
    mlp = models.mlp()
    ports = 'input { name: "pixels" data_type: TYPE_FP32 dims: [784] } output { name: "digit" data_type: TYPE_FP32 dims: [10] }'
    add_model(repository, "written", mlp.file, f'backend: "lamella"\nmax_batch_size: 64\n{ports}')
    server.load("written")
    check("dynamic_batching" not in server.config("written"), "completed although that is switched off")
    check(close(infer(server.grpc, "written", mlp.inputs)["digit"], mlp.outputs[0]), "a written configuration")
    add_model(repository, "unwritten", mlp.file, 'backend: "lamella"')
    refused(["unwritten"], server.load, "unwritten")
    add_model(repository, "wrongly", mlp.file, f'backend: "lamella"\nmax_batch_size: 64\n{ports.replace("[784]", "[28, 28]")}')
    refused(["dims: got [28, 28]"], server.load, "wrongly")


def a_reload_that_fails(server, repository):
    """After a failed reload the old model continues. Triton 2.51 then waits for the failed one when it ends, so this has its own server."""
    (repository / "written/1/model.keras").write_bytes(b"no model")
    for _ in range(2):
        refused(["model.keras", "E_"], server.load, "written")
        check(close(infer(server.grpc, "written", models.mlp().inputs)["digit"], models.mlp().outputs[0]), "after a reload that failed")


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", type=pathlib.Path)
    backends = parser.parse_args().backends.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        repository = pathlib.Path(scratch) / "models"
        repository.mkdir()
        counted = 'backend: "lamella"\ninput { name: "pixels" data_type: TYPE_FP32 dims: [-1, 784] }'
        with Server(backends, repository, pathlib.Path(scratch) / "log", "--backend-config=lamella,default-max-batch-size=512") as server:
            for test in (completed_configuration, models_that_do_not_fit, hostile_requests, many_clients, reload_under_load, every_fixture):
                began = time.monotonic()
                try:
                    test(server, repository)
                except Exception:
                    check(False, test.__name__, traceback.format_exc())
                print(f"{test.__name__}: {time.monotonic() - began:.1f} s", flush=True)
                if not server.alive():
                    print(server.said()[-5000:])
                    break
            add_model(repository, "counted", models.mlp().file, counted)
            server.load("counted")
            metrics(server)
            check(server.end() == 0, "the server ends with", server.process.returncode, server.said()[-2000:])
        with Server(backends, repository, pathlib.Path(scratch) / "log", "--disable-auto-complete-config", "--exit-timeout-secs=2") as server:
            without_completion(server, repository)
            a_reload_that_fails(server, repository)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
