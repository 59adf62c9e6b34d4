# SPDX-License-Identifier: Apache-2.0
"""Tests of the `lamella bench` command and of the scripts in bench/. Usage: command_test.py PART LAMELLA PLANTED_LIBRARY"""
import copy
import csv
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PART, LAMELLA, PLANTED = sys.argv[1:4]
BENCH = [LAMELLA, "bench", "--spread", "100", "--others", "100", "--threads", "1"]  # the machine need not be quiet for these tests
SKIPPED = 77


def run(*arguments, **environment):
    environment = dict(os.environ, **environment)
    environment.pop("LAMELLA_DEVICE", None)
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env=environment)


def bench(*arguments, plant=""):
    extra = {"LD_PRELOAD": PLANTED, "LAMELLA_PLANT": plant} if plant else {}
    return run(*BENCH, *arguments, **extra)


def expect(condition, *what):
    if not condition:
        raise SystemExit("FAILED: " + " ".join(map(str, what)))


def script(name, *arguments):
    return run(sys.executable, ROOT / "bench" / name, *arguments)


SMALL = ["--batch", "7,33", "--width", "31", "--activation", "tanh", "--cache", "warm"]


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_row(row):
    for field in ("name", "run_name", "run_type", "level", "device", "engine", "fusion", "cache", "time_unit"):
        expect(isinstance(row[field], str), field, row)
    for field in ("repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time", "batch"):
        expect(number(row[field]), field, row)
    if row.get("error_occurred"):
        expect(row["error_message"], "no reason", row)
        return
    for field in ("min_us", "spread", "samples", "bytes", "flops", "gb_per_s", "gflop_per_s", "floor_us", "fraction_of_floor", "load", "others"):
        expect(number(row[field]), field, row)
    expect(row["speedup"] is None or row["speedup"] > 0, row)
    expect(row["bound_by"] in ("memory", "arithmetic", "launch", "call"), row)
    expect(0 < row["min_us"] <= row["real_time"], row)
    expect(abs(row["fraction_of_floor"] - row["floor_us"] / row["real_time"]) < 1e-9, row)


def schema():
    with tempfile.TemporaryDirectory() as folder:
        done = bench(*SMALL, "--cache", "warm,cold", "--json", "--out", f"{folder}/out.json")
        expect(done.returncode == 0, done.stderr)
        data = json.loads(done.stdout)
        expect(data == json.loads(pathlib.Path(folder, "out.json").read_text()), "--out differs from --json")
    for field in ("date", "num_cpus", "caches", "load_avg", "fingerprint", "cpu", "compiler", "lamella_version", "threads", "ceilings", "why_no_cuda", "gpu"):
        expect(field in data["context"], field)
    rows = data["benchmarks"]
    for row in rows:
        check_row(row)
    expect({r["level"] for r in rows} == {"activation", "layer", "model"}, "levels")
    expect({r["cache"] for r in rows} == {"warm", "cold"}, "caches")
    expect(len({r["name"] for r in rows}) == len(rows), "two rows of one name")
    if data["context"]["why_no_cuda"]:
        absent = [r for r in rows if r["device"] == "cuda:0"]
        expect(absent and all(r["error_message"] == "not measured: " + data["context"]["why_no_cuda"] for r in absent), "rows of the absent GPU")
        for cell in {(r["level"], r["activation"], r["batch"], r["width"], r["cache"]) for r in rows}:
            expect(any((r["level"], r["activation"], r["batch"], r["width"], r["cache"]) == cell for r in absent), "no GPU row for", cell)
        expect({"tiled", "cublaslt_epilogue"} < {r["engine"] for r in absent}, "the engines of the absent GPU")
        expect(bench(*SMALL, "--device", "cuda").returncode == 5, "a requested GPU that does not exist")
    late = json.loads(bench(*SMALL, "--device", "cpu", "--seconds", "1e-9", "--json").stdout)["benchmarks"]
    expect(late and all(r["error_message"] == "not measured: no time was left" for r in late), "--seconds", late[:1])
    model = ROOT / "examples/models/mlp.keras"
    rows = json.loads(bench(model, "--batch", "1,7", "--device", "cpu", "--json").stdout)["benchmarks"]
    expect({(r["model"], r["batch"]) for r in rows} == {("mlp.keras", 1), ("mlp.keras", 7)}, "a model file given by the user")
    table = bench(*SMALL).stdout
    for word in ("layer, cpu", "model, cpu", "activation, cpu", "speedup", "floor", "oneDNN"):
        expect(word in table, word, table)
    expect(max(map(len, table.splitlines())) <= 100 or data["context"]["why_no_cuda"], "wider than 100 columns")
    people(model)
    for wrong in (["--level", "x"], ["--dtype", "float7"], ["--fusion", "x"], ["--activation", "x"], ["--engine", "smal"], ["--device", "cuda", "--engine", "small"]):
        done = bench(*SMALL, *wrong)
        expect(done.returncode == 2 and "allowed" in done.stderr and done.stderr.startswith("lamella: "), wrong, done.returncode, done.stderr)


def people(model):
    """Output for people and programs: CSV, Markdown, percentiles, concurrent callers, noisy cells."""
    few = [model, "--batch", "1,7", "--device", "cpu", "--cache", "warm", "--fusion", "automatic"]
    done = bench(*few, "--concurrency", "1,3", "--quick", "--csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    expect(done.returncode == 0 and {r["level"] for r in rows} == {"model", "throughput"}, done.stdout, done.stderr)
    expect({(r["batch"], r["callers"]) for r in rows if r["level"] == "throughput"} == {(b, c) for b in "17" for c in "13"}, "callers", done.stdout)
    for r in rows:
        expect(0 < float(r["p50_us"]) <= float(r["p90_us"]) <= float(r["p99_us"]), "percentiles", r)
        expect(r["level"] == "model" or float(r["rows_per_s"]) > 0, r)
    data = json.loads(bench(*few, "--concurrency", "2", "--json").stdout)
    expect("oneDNN" in data["context"]["cpu_device"], data["context"])
    for r in data["benchmarks"]:
        calls = r.get("calls_timed", r["iterations"])
        expect(sum(r["histogram"]["counts"]) == calls and len(r["histogram"]["edges_us"]) == len(r["histogram"]["counts"]) + 1, r)
    expect("#####" in bench(*few, "--quick", "--histogram").stdout, "--histogram")
    at_once = [r for r in data["benchmarks"] if r["level"] == "throughput"]
    expect([(r["batch"], r["callers"]) for r in at_once] == [(1, 2), (7, 2)] and all(r["iterations"] >= 2 for r in at_once), at_once)
    expect("|---|---|---:|" in bench(*few, "--markdown").stdout, "Markdown")
    noisy = run(LAMELLA, "bench", *few, "--spread", "1e-9", "--threads", "1", "--json")
    expect(all(r["error_occurred"] for r in json.loads(noisy.stdout)["benchmarks"]), "refused as noisy", noisy.stdout)
    quick = json.loads(run(LAMELLA, "bench", *few, "--spread", "1e-9", "--threads", "1", "--json", "--quick").stdout)["benchmarks"]
    expect(quick and all(r["warning"].startswith("noisy: ") and "error_occurred" not in r for r in quick), "--quick", quick)
    threads = run(LAMELLA, "bench", *few, LAMELLA_THREADS="4abc")
    expect(threads.returncode == 2 and "LAMELLA_THREADS: got '4abc', allowed" in threads.stderr, threads.stderr)
    for wrong in (["--concurrency", "2"], [model, "--concurrency", "0"], [model, "--csv", "--json"], [model, "--csv", "--histogram"], [model, "--markdown", "--csv"], [model, "--engine", "small"]):
        done = bench(*wrong)
        expect(done.returncode == 2 and done.stderr.startswith("lamella: "), wrong, done.returncode, done.stderr)


def made(folder, name, *arguments, plant=""):
    path = pathlib.Path(folder, name)
    done = bench(*arguments, "--device", "cpu", "--out", path, plant=plant)
    expect(done.returncode == 0, done.stderr)
    return path


def compare():
    with tempfile.TemporaryDirectory() as folder:
        a = made(folder, "a.json", *SMALL)
        data = json.loads(a.read_text())
        for row in data["benchmarks"]:
            row["spread"] = 0.01

        def changed(name, change):
            new = copy.deepcopy(data)
            change(new)
            pathlib.Path(folder, name).write_text(json.dumps(new))
            return pathlib.Path(folder, name)

        def slow(new):
            row = next(r for r in new["benchmarks"] if not r.get("error_occurred"))
            row["real_time"] *= 1.2
            row["min_us"] *= 1.2

        def slow_but_wide(new):
            slow(new)
            for row in new["benchmarks"]:
                row["spread"] = 0.3

        def slow_median_only(new):
            row = next(r for r in new["benchmarks"] if not r.get("error_occurred"))
            row["real_time"] *= 1.2

        same = changed("same.json", lambda new: None)
        done = script("compare", same, same)
        expect(done.returncode == 0 and " 0 slower" in done.stdout, done.stdout, done.stderr)
        done = script("compare", same, changed("slow.json", slow))
        expect(done.returncode == 1 and " 1 slower" in done.stdout, done.stdout, done.stderr)
        expect(script("compare", same, pathlib.Path(folder, "slow.json"), "--report-only").returncode == 0, "--report-only")
        expect("1 faster" in script("compare", pathlib.Path(folder, "slow.json"), same).stdout, "faster")
        expect(script("compare", same, changed("wide.json", slow_but_wide)).returncode == 0, "a change within the spread")
        expect(script("compare", same, changed("median.json", slow_median_only)).returncode == 0, "a change of the median alone")
        slow_path = pathlib.Path(folder, "slow.json")
        done = script("compare", same, f"{slow_path},{same}")
        expect(done.returncode == 0 and " 0 slower" in done.stdout, "the best of two runs", done.stdout)
        expect(script("compare", same, f"{slow_path},{slow_path}").returncode == 1, "two slow runs")
        other = changed("other.json", lambda new: new["context"].update(fingerprint="0"))
        expect(script("compare", same, other).returncode == 2, "another machine")


def slowdown():
    """In the second run, each call makes five calls of the library."""
    one = ["--level", "layer", "--batch", "64", "--width", "64", "--activation", "tanh", "--cache", "warm"]
    with tempfile.TemporaryDirectory() as folder:
        quiet = [json.loads(made(folder, name, *one, plant=plant).read_text()) for name, plant in (("a", ""), ("b", "slow"))]
        for data, name in zip(quiet, ("a.json", "b.json")):
            for row in data["benchmarks"]:
                row["spread"] = min(row.get("spread", 0), 0.2)  # a loaded machine's spread; the planted slowdown is much larger
            pathlib.Path(folder, name).write_text(json.dumps(data))
        done = script("compare", f"{folder}/a.json", f"{folder}/b.json")
        expect(done.returncode == 1, done.stdout, done.stderr)
        expect(script("compare", f"{folder}/a.json", f"{folder}/a.json").returncode == 0, "nothing planted")


def wrong():
    done = bench(*SMALL, "--device", "cpu", plant="wrong")
    expect(done.returncode == 1, done.returncode, done.stderr)
    expect("wrong at element" in done.stderr and done.stdout == "", done.stderr)
    expect(bench(*SMALL, "--device", "cpu", plant="none").returncode == 0, "nothing planted")


def docs():
    expect(script("quote", "--check").returncode == 0, script("quote", "--check").stdout)
    with tempfile.TemporaryDirectory() as folder:
        document = pathlib.Path(folder, "doc.md")
        text = (ROOT / "docs/performance.md").read_text()
        at = text.index("<!-- end -->")
        document.write_text(text[:at] + "| planted | 1 |\n" + text[at:])
        expect(script("quote", "--check", document).returncode == 1, "a changed table")
        expect(script("quote", document).returncode == 0 and document.read_text() == text, "rewriting it")
        document.write_text(text + "\nIt takes 3.2 us, 1.5x faster.\n")
        expect(script("quote", "--check", document).returncode == 1, "a number without a source")


def update():
    """bench/run --update writes the pages' tables and the picture: here from results that a stand-in for the bench and the peers copies."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for part in ("bench", "docs"):
            shutil.copytree(ROOT / part, root / part)
        shutil.copy(ROOT / "README.md", root)
        for program, result in (("build/bin/lamella", "cpu"), ("bench/peers/run", "cpu-peers")):
            path = root / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('#!/bin/bash\nfor word; do case $word in *.json) to=$word ;; esac; done\n' f'cp {ROOT}/bench/results/{result}.json "$to"\n')
            path.chmod(0o755)
        written = ("docs/speed.svg", "docs/performance.md", "README.md")
        (root / "docs/speed.svg").write_text("stale")
        for page in written[1:]:
            text = (root / page).read_text()
            (root / page).write_text(re.sub(r"(<!-- bench: .*-->\n).*?(<!-- end -->)", r"\1stale\n\2", text, count=1, flags=re.S))
        done = run(root / "bench/run", "--update", "--build", "build", LAMELLA_PEERS_PYTHON="/bin/false")
        expect(done.returncode == 0, done.stdout, done.stderr)
        for page in written:
            expect((root / page).read_text() == (ROOT / page).read_text(), page, "is stale")


def module(name):
    """Imports a script of bench/ as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / "bench" / name))
    made = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(made)
    return made


def quote():
    """Tables of made-up results."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "bench"))
    tables = module("quote")

    def of(*rows, **context):
        """A result file with these rows, as quote reads it."""
        return tables.keep.whole({"context": context, "benchmarks": list(rows)})

    def row(**fields):
        made = {"name": "model/x", "level": "model", "device": "cpu", "engine": "automatic", "fusion": "automatic", "graph": None, "cache": "warm",
                "model": None, "sweep": None, "batch": 1, "width": 64, "depth": 4, "activation": "tanh", "dtype": "float32", "real_time": 2.0,
                "spread": 0.01, "speedup": 1.5, "floor_us": 1.0, "fraction_of_floor": 0.5, "bound_by": "memory"}
        made.update(fields)
        if "error_message" in fields:
            made["error_occurred"] = True
        return made

    noisy = row(batch=64, error_message="refused as noisy: spread 30 %, the limit is 10 %")
    text = tables.timed(of(row(), noisy, row(batch=16)), "model")
    expect(text.count("| cpu |") == 1 and "of 2 rows: 1 because their times spread" in text and "1 more cells" in text, text)
    text = tables.growth(of(*(row(sweep="batch", batch=b, real_time=t) for b, t in ((1, 2.0), (4, 3.0), (16, 9.0), (64, 40.0)))))
    expect("batch: flat from 1 to 4; 16 takes more than twice as long as 1" in text and text.count("| batch |") == 4, text)
    text = tables.growth(of(*(row(sweep="depth", depth=d, real_time=2.0) for d in (1, 2))))
    expect("depth: flat from 1 to 2, the largest measured" in text, text)
    text = tables.growth(of(row(sweep="width", error_message="refused as noisy: other programs had 30 %")))
    expect("flat" not in text and "1 because other programs" in text, text)
    text = tables.absent(of(*[row(error_message=f"not measured: one call would take about {t} s, the limit is 0.5 s") for t in (1, 2, 3)],
                            *[row(error_message=f"refused: engine 'small' cannot do this: {why}") for why in "ab"],
                            *[row(device="cuda:0", error_message="not measured: no GPU")] * 5))
    expect(text.count("\n") == 5 and "| cpu | 3 | one call would take longer than 0.5 s |" in text and "| cuda:0 | 5 | no GPU |" in text, text)

    def peer(name, **fields):
        return row(name=f"peer/{name}", peer=name, lamella_us=1.0, ratio=2.0, **fields)

    text = tables.peers(of(peer("a"), peer("b", error_message="refused as noisy: rounds differ by 40%"), peer("a", batch=64),
                           *[dict(peer("c", error_message="not measured: why"), ratio=None)] * 3,
                           geometric_means={"a": {"ratio": 2.0, "cells": 2, "lowest": 1.5}}))
    expect(text.count("| a |") == 3 and "| b |" not in text and text.count("- c: not measured: why") == 1 and "rounds differ too much" in text, text)
    text = tables.face(of(peer("a", real_time=3.0), peer("b", real_time=4.5), peer("a", batch=64, real_time=9.0),
                          peer("b", batch=64, error_message="refused as noisy: rounds differ by 40%"), num_cpus=2, cpu_device="X, avx2; oneDNN 3", date="2026-01-02T"))
    expect("| model | rows | lamella | a | b |" in text and "| 4 x Dense(64, tanh) | 1 | 1 | 3 | 4.5 |" in text, text)
    expect("| 4 x Dense(64, tanh) | 64 | 1 | 9 | noisy |" in text and "on 2 processors (X, avx2; oneDNN 3), 2026-01-02. *noisy*: refused, because its rounds differ too much.\n" in text, text)
    text = tables.face(of(peer("a"), num_cpus=2, cpu_device="X", date="2026-01-02T"))
    expect("noisy" not in text, text)
    with tempfile.TemporaryDirectory() as folder:
        tables.ROOT = pathlib.Path(folder)
        pathlib.Path(folder, "bench/results").mkdir(parents=True)
        file = pathlib.Path(folder, "bench/results/x.json")
        file.write_text(json.dumps({"benchmarks": [row(), row(device="cuda:0", real_time=0.0, error_message="not measured: no GPU")]}))
        expect(tables.gpu("*.json").startswith("Nothing: "), "no GPU was measured")
        file.write_text(json.dumps({"benchmarks": [row(device="cuda:0")]}))
        expect("| `bench/results/x.json` | 1 | model |" in tables.gpu("*.json"), "a GPU was measured")
        file.write_text(json.dumps({"device": "cuda:0", "goals": [{"goal": "replay"}, {"goal": "fused"}], "cells": [{}, {}, {}]}))
        expect("| `bench/results/x.json` | 3 | goals: replay, fused |" in tables.gpu("*.json"), "goals were measured")
    text = tables.servers({"processors": 2, "model": "m.keras", "batch": 64, "cpu_device": "X, avx2; oneDNN 3", "ray": "2", "date": "2026-01-02T03:04:05Z", "bytes_a_row": 1000, "model_mb": 3.0,
                           "rows": {"alone": {"per_s": 200000.0}, "workers": {"per_s": 100000.0, "process_mb": 50.0}}, "requests": {"a server": {"per_s": 1234.5}}})
    expect("| alone | 200,000 |  |" in text and "| workers | 100,000 | 50 |" in text and "| a server | 1,234 |" in text, text)
    expect("| alone | 6.4 million | 6 GB/s | 3 MB for the model | 102 million |" in text and "| workers | 3.2 million | 3 GB/s | 64 x 50 MB | 51.2 million |" in text, text)
    expect("at most 64 million rows" in text and "2026-01-02 (X, avx2; oneDNN 3):" in text, text)
    text = tables.load({"model.h5": {"bytes": 4e8, "load_ms": 80.0, "read_and_copy_ms": 100.0, "ratio": 0.8, "peak_over_file": 1.02}})
    expect("| model.h5 | 400 | 80 | 100 | 0.80 | 1.02 |" in text and "instruction set and oneDNN's version were not recorded" in text, text)
    text = tables.load({"date": "2026-01-02T03:04:05Z", "cpu_device": "X, avx2; oneDNN 3",
                        "model.h5": {"bytes": 4e8, "load_ms": 80.0, "read_and_copy_ms": 100.0, "ratio": 0.8, "peak_over_file": 1.02}})
    expect(text.count("| 400 |") == 1 and "The machine: X, avx2; oneDNN 3." in text, text)


def keep():
    """A trimmed result keeps each measured row, counts the others, and compares as before; trimming it again changes nothing. What git has is trimmed."""
    trim = module("keep.py")
    with tempfile.TemporaryDirectory() as folder:
        result, kept, again = (pathlib.Path(folder, name) for name in ("result.json", "kept.json", "again.json"))
        data = json.loads(made(folder, "result.json", *SMALL).read_text())
        first = data["benchmarks"][0]
        data["benchmarks"] += [dict(first, name=f"gone/{why}", real_time=0.0, error_occurred=True, error_message=why) for why in ("not measured: why", "refused: no engine can do this: a: why")]
        data["benchmarks"].append(dict(first, name="noisy", error_occurred=True, error_message="refused as noisy: spread 30 %, the limit is 10 %"))
        result.write_text(json.dumps(data))
        for source, target in ((result, kept), (kept, again)):
            done = script("keep.py", source, target)
            expect(done.returncode == 0, done.stdout, done.stderr)
        expect(again.read_text() == kept.read_text() and kept.stat().st_size < result.stat().st_size, "smaller, and unchanged by a second run")
        brief = trim.read(kept)
        expect(brief["absent"] == [{"peer": "", "device": first["device"], "why": why, "rows": 1} for why in ("why", "no engine does what was asked for")], brief["absent"])
        measured = {row["name"]: row for row in data["benchmarks"] if not row.get("error_message", "").startswith(("not measured", "refused: "))}
        expect([row["name"] for row in brief["benchmarks"] if row["error_occurred"] and row["name"] == "noisy"] == ["noisy"], "a noisy row says so")
        expect({row["name"] for row in brief["benchmarks"]} == set(measured), "every measured row")
        for row in brief["benchmarks"]:
            for field, value in row.items():
                whole = measured[row["name"]].get(field)
                near = type(value) in (int, float) and abs(value - whole) <= 1e-3 * abs(whole)
                expect(near or value == (None if whole == "" else whole), "a field changed:", field, value, whole)
        expect(kept.read_text().count('"name"') == kept.read_text().count('"noisy"') == 1, "names follow from the fields", kept.read_text())
        done = script("compare", result, kept)
        expect(done.returncode == 0 and "0 slower, 0 faster" in done.stdout, done.stdout, done.stderr)
    for file in (ROOT / "bench/results").glob("*.json"):
        data = json.loads(file.read_text())
        expect("benchmarks" not in data, file, "is not what bench/keep.py makes of a result")
        expect("tables" not in data or trim.text(trim.kept(data)) == file.read_text(), file, "is not as bench/keep.py writes it")


def against_base():
    """Which commit is the base; the commits here have nothing to build."""
    with tempfile.TemporaryDirectory() as folder:
        who = {f"GIT_{role}_{what}": "x@x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

        def git(*arguments):
            done = run("git", "-C", folder, *arguments, **who)
            expect(done.returncode == 0, arguments, done.stderr)
            return done.stdout.strip()

        def compared():
            done = run(pathlib.Path(folder, "bench/against-base"), "no-such-program")
            expect(done.returncode == 0, done.stdout, done.stderr)
            return done.stdout

        git("init", "-q", "-b", "work")
        pathlib.Path(folder, "bench").mkdir()
        shutil.copy(ROOT / "bench/against-base", pathlib.Path(folder, "bench/against-base"))
        git("add", "-A")
        git("commit", "-qm", "one")
        one = git("rev-parse", "HEAD")
        expect("no parent" in compared(), "a commit without a parent")
        git("commit", "-q", "--allow-empty", "-m", "two")
        git("commit", "-q", "--allow-empty", "-m", "three")
        expect(f"{git('rev-parse', 'HEAD^')} cannot be built" in compared(), "the parent")
        git("update-ref", "refs/remotes/origin/main", one)
        expect(f"{one} cannot be built" in compared(), "where the branch left origin/main")
        git("update-ref", "refs/remotes/origin/main", "HEAD")
        expect(f"{git('rev-parse', 'HEAD^')} cannot be built" in compared(), "on origin/main itself")


def instructions():
    program = pathlib.Path(LAMELLA).parent / "instructions"
    if not program.exists() or not shutil.which("valgrind") or not shutil.which("readelf"):
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        baseline = pathlib.Path(folder, "baseline.json")
        changelog = pathlib.Path(folder, "CHANGELOG.md")
        changelog.write_text("# Changelog\n")
        check = [program, "--case", "predict_1x1", "--baseline", baseline, "--changelog", changelog]
        expect(script("instructions", *check).returncode == 3, "no baseline")
        done = script("instructions", *check, "--update")
        expect(done.returncode == 0, done.stdout, done.stderr)
        expect(script("instructions", *check).returncode == 0, "the same program")
        counts = json.loads(baseline.read_text())
        key = next(iter(counts))
        before = counts[key]["predict_1x1"] = int(counts[key]["predict_1x1"] / 1.2)
        baseline.write_text(json.dumps(counts))
        done = script("instructions", *check)
        expect(done.returncode == 1 and "GREW" in done.stdout, done.stdout, done.stderr)
        changelog.write_text(f"- instructions predict_1x1 {before} -> more: a reason\n")
        expect(script("instructions", *check).returncode == 0, "CHANGELOG says why")
        changelog.write_text("- instructions predict_1x1 1 -> 2: an old reason\n")
        expect(script("instructions", *check).returncode == 1, "an old changelog line does not excuse a new change")
    return 0


def report():
    with tempfile.TemporaryDirectory() as folder:
        result = made(folder, "result.json", *SMALL)
        page = pathlib.Path(folder, "report.html")
        done = script("report", result, "--out", page)
        if done.returncode == SKIPPED:
            return SKIPPED
        expect(done.returncode == 0, done.stdout, done.stderr)
        text = page.read_text()
        expect(text.count("<svg") >= 4, "pictures", text.count("<svg"))
        for word in ('src="', "href=\"http", "@import"):
            expect(word not in text, "not self-contained:", word)
        for word in ("Speedup by fusion", "Time against the roofline floor", "Engines side by side", "Roofline", 'name="viewport"', "prefers-color-scheme:dark",
                     'href="result.json"'):
            expect(word in text, word)
        ids, to = re.findall(r' id="([^"]+)"', text), re.findall(r'href="#([^"]+)"', text)
        expect(len(set(ids)) == len(ids), "an id occurs twice", [i for i in ids if ids.count(i) > 1][:3])
        expect(set(to) <= set(ids), "links that lead nowhere", set(to) - set(ids))
        expect(text.count("<figcaption>") == text.count("<figure>") == text.count("<svg") and text.count("<title>") > 20, "captions, and values as tooltips")
        expect(re.search(r'<ol id="takeaways">(<li>[^<]{40,}</li>)+</ol>', text), "takeaways")
        for colour in ("#000000", "#ffffff", "#010203", "#fcfdfe"):
            expect(f"fill: {colour}" not in text or colour == "#ffffff", "a colour that dark mode does not change:", colour)
    return 0


sys.exit(globals()[PART]() or 0)
