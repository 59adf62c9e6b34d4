# SPDX-License-Identifier: Apache-2.0
"""Runs a Triton Inference Server with lamella's backend on free ports, and makes model repositories for it."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import pytriton
import tritonclient.grpc
import tritonclient.http

import waits

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TRITON = pathlib.Path(pytriton.__file__).parent / "tritonserver"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def add_model(repository, name, file, config='backend: "lamella"', as_name=None):
    """REPOSITORY/NAME/1/model.keras (or .h5), and config.pbtxt if there is a config."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    if file:
        shutil.copy(file, folder / (as_name or "model" + file.suffix))
    if config:
        (repository / name / "config.pbtxt").write_text(config + "\n", encoding="utf-8")


class Server:
    """with Server(backends, repository) as server: ...; models are loaded one by one, server.load(NAME)."""

    def __init__(self, backends, repository, log, *options, environment=None):
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.log = log
        self.command = [TRITON / "bin/tritonserver", "--model-repository", repository, "--backend-directory", backends, "--model-control-mode=explicit",
                        "--http-address=127.0.0.1", f"--http-port={self.http_port}", "--grpc-address=127.0.0.1", f"--grpc-port={self.grpc_port}",
                        "--metrics-address=127.0.0.1", f"--metrics-port={self.metrics_port}", "--allow-cpu-metrics=false", *options]
        self.environment = dict(os.environ, **(environment or {}))

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=log, stderr=subprocess.STDOUT, env=self.environment,
                                            start_new_session=True)
        ready = waits.until(lambda: not self.alive() or self.is_ready()) and self.alive()
        self.http, self.grpc = self.http_client(), self.grpc_client()
        if ready:
            return self
        self.end()
        sys.exit(f"the server did not start:\n{self.said()}")

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Stops the server and returns its exit status. It waits up to 30 s for open HTTP connections."""
        if self.alive():
            self.http.close()
            self.grpc.close()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(waits.LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode

    def alive(self):
        return self.process.poll() is None

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/v2/health/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def said(self):
        return pathlib.Path(self.log).read_text(encoding="utf-8", errors="replace")

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=waits.LIMIT) as answer:
            return answer.read().decode()

    def http_client(self, concurrency=1):
        return tritonclient.http.InferenceServerClient(f"127.0.0.1:{self.http_port}", concurrency=concurrency, network_timeout=waits.LIMIT, connection_timeout=waits.LIMIT)

    def grpc_client(self):
        return tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self.grpc_port}")

    def load(self, name):
        self.grpc.load_model(name)

    def config(self, name):
        return self.http.get_model_config(name)


def request(module, inputs, outputs=None):
    """Inputs and requested outputs as objects of `module`, tritonclient.http or .grpc, from arrays by name."""
    made = []
    for name, array in inputs.items():
        made.append(module.InferInput(name, list(array.shape), tritonclient.utils.np_to_triton_dtype(array.dtype)))
        made[-1].set_data_from_numpy(array)
    return made, None if outputs is None else [module.InferRequestedOutput(name) for name in outputs]


def infer(client, name, inputs, outputs=None):
    """Sends a request through a client of either protocol; returns arrays by name."""
    module = tritonclient.http if isinstance(client, tritonclient.http.InferenceServerClient) else tritonclient.grpc
    made, wanted = request(module, inputs, outputs)
    result = client.infer(name, made, outputs=wanted)
    answer = result.get_response()
    listed = answer["outputs"] if isinstance(answer, dict) else [{"name": output.name} for output in answer.outputs]
    return {output["name"]: result.as_numpy(output["name"]) for output in listed}
