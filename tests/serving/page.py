#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the blocks of docs/triton.md and docs/ray.md in order, with an installed lamella; and the arguments of serving/triton/kserve.yaml.

Blocks of sh run; blocks with a title are files; a block of text is what the block before it prints, line by line among others.
Usage: page.py WORK      the folder that has prefix/, an installed lamella; page/backends is made there
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import yaml

import models
import waits
from server import ROOT, TRITON

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
WORK = pathlib.Path(sys.argv[1]).resolve()
PAGE = WORK / "page"


def environment():
    tools = f"{pathlib.Path(sys.executable).parent}:{TRITON / 'bin'}"
    return dict(os.environ, **waits.OF_RAY, CMAKE_PREFIX_PATH=str(WORK / "prefix"), PATH=f"{tools}:{os.environ['PATH']}")


def end(process):
    """Kills the process and what it started: a block may leave a server running."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def page(name):
    """How many blocks ran."""
    text = (ROOT / name).read_text(encoding="utf-8")
    started, said, count = [], "", 0
    try:
        for kind, title, code in BLOCK.findall(text):
            if title:
                (PAGE / title).write_text(code, encoding="utf-8")
            elif kind == "sh":
                for _ in range(5):
                    process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", code], cwd=PAGE, env=environment(), text=True, stdout=subprocess.PIPE,
                                               stderr=subprocess.STDOUT, start_new_session=True)
                    started.append(process)
                    said, _ = process.communicate(timeout=2 * waits.LIMIT)
                    if not re.search(r"^TimeoutError: .*roxies not available", said, re.M):  # Serve gives up after a minute
                        break
                    end(process)
                count += 1
                if process.returncode != 0:
                    raise SystemExit(f"{name}: {code}\nends with {process.returncode}:\n{said}\n{server_log()}")
            elif kind == "text":
                missing = [line for line in code.splitlines() if line not in said.splitlines()]
                count += 1
                if missing:
                    raise SystemExit(f"{name}: {missing[0]!r} is not printed, but:\n{said}\n{server_log()}")
    finally:
        for process in started:
            end(process)
    return count


def server_log():
    log = PAGE / "server.log"
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def kserve():
    """The runtime's arguments start a server that answers, here with the configuration that sets every option."""
    runtime, service = yaml.safe_load_all((ROOT / "serving/triton/kserve.yaml").read_text(encoding="utf-8"))
    container, = runtime["spec"]["containers"]
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    arguments = [argument.replace("/mnt/models", str(PAGE / "models")) for argument in container["args"]]
    with open(PAGE / "server.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([*container["command"], *arguments, "--backend-directory", str(PAGE / "backends")], cwd=PAGE, env=environment(), stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    mlp = models.mlp()
    body = f'{{"inputs": [{{"name": "pixels", "datatype": "FP32", "shape": [1, 784], "data": {mlp.inputs["pixels"][0].tolist()}}}]}}'
    try:
        outputs = []

        def answered():
            assert process.poll() is None, server_log()
            try:
                with urllib.request.urlopen("http://127.0.0.1:8080/v2/models/mlp/infer", data=body.encode(), timeout=waits.LIMIT) as answer:
                    outputs.extend(yaml.safe_load(answer.read())["outputs"])
            except OSError:
                return False
            return True

        assert waits.until(answered), server_log()
        output, = outputs
        largest = max(abs(got - float(wanted)) for got, wanted in zip(output["data"], mlp.outputs[0][0], strict=True))
        assert largest < 1e-5, largest
    finally:
        end(process)


def main():
    shutil.rmtree(PAGE, ignore_errors=True)
    PAGE.mkdir(parents=True)
    (PAGE / "lamella").symlink_to(ROOT)
    for suffix, name in ((".keras", "model.keras"), ("_input.npy", "x.npy"), ("_expected.npy", "expected.npy")):
        shutil.copy(ROOT / f"examples/models/mlp{suffix}", PAGE / name)
    count = page("docs/triton.md")
    kserve()
    count += page("docs/ray.md")
    print(f"{count + 1} passed, 0 failed")


if __name__ == "__main__":
    main()
