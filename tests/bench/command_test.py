# SPDX-License-Identifier: Apache-2.0
"""Tests of the `lamella bench` command and of the scripts that compare and count. Usage: command_test.py PART LAMELLA PLANTED_LIBRARY"""
import copy
import csv
import json
import pathlib
import shutil
import sys
import tempfile

from commands import LAMELLA, PART, ROOT, SKIPPED, SMALL, bench, expect, made, run, script


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


sys.exit(globals()[PART]() or 0)
