#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stages of .ci/run: what finds most first, but what takes minutes before what takes a quarter of an hour. Prints what each took and counted,
and closes with the sums.

A slow machine that reaches LAMELLA_CI_SECONDS (default 3480) leaves stages out, and says which; only the release build's tests must end.
"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAKE = ROOT / "build/release/lib/liblamella_cuda_fake.so"
NVCC = shutil.which("nvcc") is not None
# Programs linked with a release must run with later libraries; from the first tag on there is a release to compare with.
RELEASED = shutil.which("abidiff") is not None and subprocess.run(["git", "describe", "--tags", "--match", "v[0-9]*"], cwd=ROOT, capture_output=True).returncode == 0
ON_FAKE = {"LAMELLA_DEVICE": "cuda:0", "LAMELLA_CUDA_PLUGIN": str(FAKE)}
# The tests with lesser instruction sets. oneDNN has its own limit.
LESSER = """
for isa in avx2 generic; do
  export LAMELLA_MAX_CPU_ISA=$isa ONEDNN_MAX_CPU_ISA=$([ $isa = avx2 ] && echo AVX2 || echo SSE41)
  for test in ops dense dense_engines batch_invariance bench chunks quantized_dense fixtures; do
    "build/release/bin/${test}_test" --gtest_brief=1 || exit 1
  done
done
"""
# The kernels, compiled by nvcc for older architectures: the oldest, and the first with what the tensor cores' kernels need.
OLDER = """
for arch in 75 80; do
  cmake -S . -B build/ptx-$arch -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DLAMELLA_CUDA=OFF -DLAMELLA_PTX_ARCHITECTURE=$arch \
    -DCMAKE_CXX_COMPILER_LAUNCHER=ccache >/dev/null && cmake --build build/ptx-$arch --target ptx_kernels_test fake_ops_test &&
  build/ptx-$arch/bin/ptx_kernels_test --gtest_brief=1 && build/ptx-$arch/bin/fake_ops_test --gtest_brief=1 || exit 1
done
"""
# The plugin that releases have.
ALL = """
env -u CUDAARCHS cmake -S . -B build/architectures -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAMELLA_CUDA=ON -DLAMELLA_WERROR=ON -DLAMELLA_BUILD_TESTS=OFF \
  -DLAMELLA_BUILD_EXAMPLES=OFF -DLAMELLA_BUILD_BENCH=OFF >/dev/null && cmake --build build/architectures --target lamella_cuda &&
du -h build/architectures/lib/liblamella_cuda.so
"""
INSTRUCTIONS = "bench/instructions build/release/bin/instructions || [ $? -eq 3 ]"  # 3: no baseline for this compiler
# Name, command for bash, when it exists.
STAGES = {
    "lint": ("scripts/lint", True),
    "tidy": ("scripts/tidy", True),
    "release": ("rm -f build/launched && LAMELLA_PTX_LAUNCHED=$PWD/build/launched scripts/test release", True),
    "launched": ("tests/ptx/launched.sh build/release build/launched", NVCC),
    "launched-older": (OLDER, NVCC),
    "architectures": (ALL, NVCC),
    "install": ("tests/install/run.sh", True),
    "from-pages": ("tests/install/from_pages.sh", True),
    "package": ("tests/install/package.sh", True),
    "fresh": ("tests/install/fresh.sh", True),
    "static": ("tests/install/static.sh", True),
    "aarch64": ("tests/install/aarch64.sh", True),
    "subproject": ("tests/install/subproject.sh", True),
    "docs": ("scripts/docs", True),
    "serving": ("scripts/test-serving", True),
    "python": ("scripts/test-python", True),
    "wheels": ("env -u CUDAARCHS scripts/wheels && scripts/test-wheels", NVCC),
    "headers": ("tests/install/headers.sh", True),
    "abi": ("tests/install/abi.sh", RELEASED),
    "conformance": ("scripts/conformance --count 300", True),
    "conformance-save": ("scripts/conformance --count 100 --through-save", True),
    "conformance-fake-cuda": ("scripts/conformance --count 40 --seed 7", NVCC),
    "malformed": ("scripts/malformed", True),
    "instruction-sets": (LESSER, True),
    "gpu-scripts": ("tests/repository/gpu_scripts.sh build/release", NVCC),
    "registers": ("tests/kernels/registers.sh && tests/kernels/registers.sh --arch 80 kernels/mma_gemm.cu", NVCC),
    "peers": ("build/venv-conformance/bin/python tests/bench/peers_test.py $PWD/build/release/bin", True),
    "instructions": (INSTRUCTIONS, True),
    "asan": ("scripts/test asan", True),
    "tsan": ("scripts/test tsan", True),
    "one-row": ("tests/repository/one_row.sh", True),
    "soak": ("scripts/soak --predicts 1000000", True),
    "fuzz": ("scripts/fuzz --target parsers --runs 100000 --max-len 8192 --jobs 2", True),
    "fuzz-layers": ("scripts/fuzz --target layers --runs 10000 --max-len 256 --jobs 2", True),
    "fuzz-api": ("scripts/fuzz --target api --runs 2000 --jobs 2", True),
    "against-base": ("bench/against-base", True),
}
# Stages of the workflows only: all together take two hours of two processors, and a serial run is to take one.
BY_NAME = {"launched-older", "architectures", "from-pages", "fresh", "subproject", "static", "serving", "wheels", "aarch64"}
# The output of builds and passed tests, which only helps someone who watches.
QUIET = re.compile(r"\[\d+/\d+\] |\s+Start +\d+: |\s*\d+/\d+ Test +#\d+: .*( Passed |\*\*\*Skipped )")
CTEST = re.compile(r"^\d+% tests passed, (\d+) tests failed out of (\d+)", re.M)
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed", re.M)


def run(command, seconds, environment):
    """Returns output, exit status, and whether it ran out of time."""
    process = subprocess.Popen(["bash", "-c", command], cwd=ROOT, env=environment, text=True, errors="replace", start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    late = threading.Event()

    def end():
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if not QUIET.match(line):
            print(line, end="", flush=True)
    status = process.wait()
    timer.cancel()
    return "".join(lines), status, late.is_set()


def count(output, status, late):
    """The numbers of passed and failed tests; a stage without such numbers counts as one test."""
    good = bad = 0
    ctest = CTEST.findall(output)
    if ctest:
        bad, total = map(int, ctest[-1])
        good = total - bad - len(re.findall(r"^\s*\d+ - .*\(Skipped\)", output, re.M))
    elif late:  # CTest was stopped before it printed its counts
        good = len(re.findall(r"^ *\d+/\d+ Test .* Passed ", output, re.M))
        bad = len(re.findall(r"^ *\d+/\d+ Test .*\*\*\*(?:Failed|Exception|Timeout|Not Run)", output, re.M))
    plain = PLAIN.findall(output)
    if plain:
        good, bad = map(int, plain[-1])
    if not late and status != 0 and bad == 0:
        bad = 1
    if not late and status == 0 and good + bad == 0:
        good = 1
    return good, bad


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    unknown = [name for name in sys.argv[1:] if name not in STAGES]
    if unknown:
        sys.exit(f".ci/run: no stage is called {unknown[0]}; there are: {', '.join(STAGES)}")
    begin, passed, failed, summary = time.monotonic(), 0, 0, []
    seconds = float(os.environ.get("LAMELLA_CI_SECONDS", 3480))
    environment = os.environ | {"CUDAARCHS": "90-real",  # one is enough for tests; `architectures` compiles for all
                                "CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1",
                                "CCACHE_SLOPPINESS": "pch_defines,time_macros", "CCACHE_COMMENTS": "1"}  # as in scripts/test
    for name in sys.argv[1:] or [name for name, (_, exists) in STAGES.items() if exists and name not in BY_NAME]:
        left = 100_000 if name == "release" else seconds - (time.monotonic() - begin)
        if left < 60:
            summary.append(f"{name}: NOT RUN, no time left")
            continue
        print(f"== {name}", flush=True)
        started, used = time.monotonic(), processor_seconds()
        result = run(STAGES[name][0], left, environment | (ON_FAKE if name.endswith("fake-cuda") else {}))
        good, bad = count(*result)
        passed, failed = passed + good, failed + bad
        note = f"{time.monotonic() - started:.0f} s ({processor_seconds() - used:.0f} s of processors)" + (", NOT FINISHED, no time left" if result[2] else "")
        summary.append(f"{name}: {good} passed, {bad} failed, {note}")
        print(f"== {name}: {note}, exit {result[1]}", flush=True)
    print("\n" + "\n".join(summary))
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main())
