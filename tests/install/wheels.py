#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/test-wheels asks of the installed wheels. Runs in their environment.

Usage: wheels.py cpu|cuda13|cuda13-cudnn     the extra of lamella that is installed; cpu: none
"""
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import sysconfig

import lamella
import numpy as np

MODELS = pathlib.Path(__file__).resolve().parents[2] / "examples/models"
SITE = pathlib.Path(sysconfig.get_path("platlib")).resolve()
PACKAGE = pathlib.Path(lamella.__file__).resolve().parent
PLUGIN = PACKAGE / "liblamella_cuda.so"


def predicts(device):
    model = lamella.load(MODELS / "mlp.keras", device=device)
    assert model.device == device, model.device
    np.testing.assert_allclose(model.predict(np.load(MODELS / "mlp_input.npy")), np.load(MODELS / "mlp_expected.npy"), rtol=1e-5, atol=4e-6)


def refused(why):
    assert lamella.why_no_cuda() == why, lamella.why_no_cuda()
    try:
        lamella.load(MODELS / "mlp.keras", device="cuda:0")
    except lamella.DeviceError as error:
        assert why in str(error), error
    else:
        raise AssertionError("a model is loaded on cuda:0")


def libraries(file):
    """Where the loader finds what a file needs: paths by name."""
    said = subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout
    assert "not found" not in said, f"{file}:\n{said}"
    return {name: pathlib.Path(path).resolve() for name, path in re.findall(r"^\s*(\S+) => (/\S+)", said, re.M)}


def from_wheels(needed):
    """Only the C and C++ run-time libraries come from the system."""
    system = r"(libc|libm|libgcc_s|libstdc\+\+|libz|libpthread|libdl|librt|ld-linux-x86-64)\.so"
    outside = {name: str(path) for name, path in needed.items() if not re.match(system, name) and not path.is_relative_to(SITE)}
    assert not outside, outside


def has_licences(distribution):
    """A wheel brings lamella's licence and that of every library that auditwheel has put into it."""
    files = importlib.metadata.files(distribution)
    texts = [file for file in files if file.parent.name == "licenses"]
    libraries_inside = [file for file in files if file.parent.name.endswith(".libs")]
    assert "LICENSE" in {file.name for file in texts} and len(texts) == 1 + len(libraries_inside), texts
    assert all("icense" in file.read_text(encoding="utf-8") for file in texts), texts


def cpu():
    assert not PLUGIN.exists()
    has_licences("lamella")
    if not pathlib.Path("/dev/nvidiactl").exists():
        os.environ["LAMELLA_CUDA_PLUGIN"] = "liblamella_cuda.so"  # else it is not looked for
    refused("the CUDA plugin cannot be opened: liblamella_cuda.so: cannot open shared object file: No such file or directory"
            " (pip install 'lamella[cuda13]' installs it)")
    predicts("cpu")
    subprocess.run([pathlib.Path(sys.executable).parent / "lamella", "verify", MODELS / "mlp.keras", "-i", MODELS / "mlp_input.npy",
                    "--expected", MODELS / "mlp_expected.npy"], check=True)
    for file in [PACKAGE / "bin/lamella", *PACKAGE.glob("*.so*")]:
        from_wheels(libraries(file))


def cuda13():
    for package, pinned in (("lamella", 'lamella-cuda13=={}; extra == "cuda13"'), ("lamella-cuda13", "lamella=={}")):
        assert pinned.format(lamella.__version__) in importlib.metadata.requires(package), importlib.metadata.requires(package)
    has_licences("lamella-cuda13")
    needed = libraries(PLUGIN)
    from_wheels(needed)
    assert needed["liblamella.so.0"].parent == PACKAGE and {"libcudart.so.13", "libcublasLt.so.13"} <= needed.keys(), needed
    if pathlib.Path("/dev/nvidiactl").exists():
        assert lamella.why_no_cuda() == "", lamella.why_no_cuda()
        predicts("cuda:0")
    else:  # a plugin that the environment names is opened anyway, and has asked the CUDA runtime
        os.environ["LAMELLA_CUDA_PLUGIN"] = str(PLUGIN)
        refused("no NVIDIA driver was found on this machine")
    loaded = {line.split()[-1] for line in pathlib.Path("/proc/self/maps").read_text(encoding="utf-8").splitlines() if ".so" in line}
    assert {str(PLUGIN), str(needed["libcublasLt.so.13"])} <= loaded, loaded
    predicts("cpu")


def cuda13_cudnn():
    """The plugin opens cuDNN when an engine asks for it, from the folders that it names."""
    dynamic = subprocess.run(["readelf", "-d", PLUGIN], check=True, capture_output=True, text=True).stdout
    folders = re.search(r"R(?:UN)?PATH.*\[(.*)\]", dynamic)[1].replace("$ORIGIN", str(PACKAGE)).split(":")
    found = [file for file in (pathlib.Path(folder) / "libcudnn.so.9" for folder in folders) if file.exists()]
    assert found, folders
    from_wheels(libraries(found[0]))


def main():
    extra, = sys.argv[1:]
    assert PACKAGE.is_relative_to(SITE), PACKAGE
    {"cpu": cpu, "cuda13": cuda13, "cuda13-cudnn": cuda13_cudnn}[extra]()
    print(f"{extra}: right")


if __name__ == "__main__":
    main()
