# SPDX-License-Identifier: Apache-2.0
"""The stages of gpu-harvest that run the device tests: the programs directly, in shards; and compute-sanitizer on a short list."""
import os
import pathlib
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+?)(?:, where .*)? \(\d+ ms\)$", re.M)
ALONE = ["gpu_session_test"]  # measures the device's free memory
TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
FOUND = 9  # the exit status of a tool that finds something
LONGEST = 30  # seconds that a planted bug may take
SANITIZED = [("gpu_ops_test", "*Layer*:*Combine*:*Transpose*:*Cast*:*IsStable*"), ("gpu_dense_test", "*AddsIntegersExactly*:*AcceptsSizesOfZero*")]


def names_of(run, program):
    listed = subprocess.run([program, "--gtest_list_tests"], cwd=ROOT, capture_output=True, text=True, env=run.environment, check=True).stdout
    suite, names = "", []
    for line in listed.splitlines():
        word = line.split("#")[0].rstrip()
        if line.startswith(" ") and word:
            names.append(suite + word.strip())
        elif word.endswith("."):
            suite = word
    return [name for name in names if re.search(run.options.tests, "gpu." + name)]


def run_tests(run, most):
    """Runs each program in parallel shards, then one by one the tests that failed or that a crashed shard had not begun."""
    ends, jobs = time.monotonic() + most, min(8, os.cpu_count() or 1)
    wanted = {program: names_of(run, program) for program in sorted(run.bin.glob("gpu_*_test"))}
    wanted = {program: names for program, names in wanted.items() if names}
    outcomes = {}

    def go(program, label, names, **variables):
        few = [] if len(names) == len(wanted[program]) and run.options.tests == "." else ["--gtest_filter=" + ":".join(names)]
        name = f"tests-{label}"
        run.run(name, [program, *few], ends - time.monotonic(), LAMELLA_REQUIRE_GPU="1", **variables)
        for result, test in RESULT.findall((run.logs / f"{name}.log").read_text(errors="replace")):
            outcomes[program, test] = result

    def shards(programs, count):
        with ThreadPoolExecutor(count) as pool:
            for program in programs:
                parts = min(count, len(wanted[program]))
                for i in range(parts):
                    pool.submit(go, program, f"{program.name}-{i}", wanted[program], GTEST_TOTAL_SHARDS=str(parts), GTEST_SHARD_INDEX=str(i))

    shards([program for program in wanted if program.name not in ALONE], jobs)
    shards([program for program in wanted if program.name in ALONE], 1)
    everything = [(program, test) for program, names in wanted.items() for test in names]
    again = [key for key in everything if outcomes.get(key) != "OK"]
    for i, (program, test) in enumerate(again):
        if time.monotonic() + 2 > ends:
            break
        go(program, f"alone-{i}", [test])
    bad = [f"{program.name} {test}: {outcomes.get((program, test), 'not run')}" for program, test in everything if outcomes.get((program, test)) != "OK"]
    alone = [f"{program.name} {test}" for program, test in again if outcomes.get((program, test)) == "OK"]
    found = {"tests": len(everything), "passed": len(everything) - len(bad), "passed_only_alone": alone, "bad": bad}
    return {**found, "failed": f"{len(bad)} tests"} if bad or not everything else found


def run_sanitizers(run, most):
    """Each tool must first find its planted bug, so that a tool that checks nothing is noticed. Each has its share of the time that is left."""
    ends, tools = time.monotonic() + most, {}
    tool_path = shutil.which("compute-sanitizer", path=run.environment.get("PATH"))
    if not tool_path:
        return {"skipped": "compute-sanitizer is not installed"}
    planted = run.bin / "planted"
    for i, tool in enumerate(TOOLS):
        until = time.monotonic() + (ends - time.monotonic()) / (len(TOOLS) - i)
        if until - time.monotonic() < 2:
            tools[tool] = "no time left"
            continue
        command = [tool_path, "--tool", tool, "--error-exitcode", FOUND]
        status = run.run(f"planted-{tool}", [*command, planted, tool], min(LONGEST, until - time.monotonic()))
        if status != FOUND:
            tools[tool] = "does not find its planted bug here" if status == 0 else f"cannot run here, it ended with {status}"
            continue
        padding = ["--padding", "256"] if tool == "memcheck" else []
        for program, tests in SANITIZED:
            tools[tool] = run.run(f"sanitizer-{tool}", [*command, *padding, run.bin / program, f"--gtest_filter={tests}"], until - time.monotonic(),
                                  LAMELLA_CUDA_ALLOCATOR="exact", LAMELLA_REQUIRE_GPU="1")
            if tools[tool] != 0:
                break
    bad = [tool for tool, status in tools.items() if isinstance(status, int) and status != 0]
    return {"tools": tools, **({"failed": ", ".join(bad)} if bad else {})}
