# SPDX-License-Identifier: Apache-2.0
"""Tests of what bench/ makes of results: tables in pages, pictures, trimmed results, the report. Usage: pages_test.py PART LAMELLA PLANTED_LIBRARY"""
import importlib.machinery
import importlib.util
import json
import pathlib
import re
import shutil
import sys
import tempfile

from commands import PART, ROOT, SKIPPED, SMALL, bench, expect, made, run, script


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


def tables():
    """bench/quote as a module."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "bench"))
    return module("quote")


TABLES = tables()


def of(*rows, **context):
    """A result file with these rows, as quote reads it."""
    return TABLES.keep.whole({"context": context, "benchmarks": list(rows)})


def row(**fields):
    made = {"name": "model/x", "level": "model", "device": "cpu", "engine": "automatic", "fusion": "automatic", "graph": None, "cache": "warm",
            "model": None, "sweep": None, "batch": 1, "width": 64, "depth": 4, "activation": "tanh", "dtype": "float32", "real_time": 2.0,
            "spread": 0.01, "speedup": 1.5, "floor_us": 1.0, "fraction_of_floor": 0.5, "bound_by": "memory"}
    made.update(fields)
    if "error_message" in fields:
        made["error_occurred"] = True
    return made


def peer(name, **fields):
    return row(name=f"peer/{name}", peer=name, lamella_us=1.0, ratio=2.0, **fields)


def quote():
    """Tables of made-up results."""
    noisy = row(batch=64, error_message="refused as noisy: spread 30 %, the limit is 10 %")
    text = TABLES.timed(of(row(), noisy, row(batch=16)), "model")
    expect(text.count("| cpu |") == 1 and "of 2 rows: 1 because their times spread" in text and "1 more cells" in text, text)
    text = TABLES.growth(of(*(row(sweep="batch", batch=b, real_time=t) for b, t in ((1, 2.0), (4, 3.0), (16, 9.0), (64, 40.0)))))
    expect("batch: flat from 1 to 4; 16 takes more than twice as long as 1" in text and text.count("| batch |") == 4, text)
    text = TABLES.growth(of(*(row(sweep="depth", depth=d, real_time=2.0) for d in (1, 2))))
    expect("depth: flat from 1 to 2, the largest measured" in text, text)
    text = TABLES.growth(of(row(sweep="width", error_message="refused as noisy: other programs had 30 %")))
    expect("flat" not in text and "1 because other programs" in text, text)
    text = TABLES.absent(of(*[row(error_message=f"not measured: one call would take about {t} s, the limit is 0.5 s") for t in (1, 2, 3)],
                            *[row(error_message=f"refused: engine 'small' cannot do this: {why}") for why in "ab"],
                            *[row(device="cuda:0", error_message="not measured: no GPU")] * 5))
    expect(text.count("\n") == 5 and "| cpu | 3 | one call would take longer than 0.5 s |" in text and "| cuda:0 | 5 | no GPU |" in text, text)

    text = TABLES.peers(of(peer("a"), peer("b", error_message="refused as noisy: rounds differ by 40%"), peer("a", batch=64),
                           *[dict(peer("c", error_message="not measured: why"), ratio=None)] * 3,
                           geometric_means={"a": {"ratio": 2.0, "cells": 2, "lowest": 1.5}}))
    expect(text.count("| a |") == 3 and "| b |" not in text and text.count("- c: not measured: why") == 1 and "rounds differ too much" in text, text)
    text = TABLES.face(of(peer("a", real_time=3.0), peer("b", real_time=4.5), peer("a", batch=64, real_time=9.0),
                          peer("b", batch=64, error_message="refused as noisy: rounds differ by 40%"), num_cpus=2, cpu_device="X, avx2; oneDNN 3", date="2026-01-02T"))
    expect("| model | rows | lamella | a | b |" in text and "| 4 x Dense(64, tanh) | 1 | 1 | 3 | 4.5 |" in text, text)
    expect("| 4 x Dense(64, tanh) | 64 | 1 | 9 | noisy |" in text and "on 2 processors (X, avx2; oneDNN 3), 2026-01-02. *noisy*: refused, because its rounds differ too much.\n" in text, text)
    text = TABLES.face(of(peer("a"), num_cpus=2, cpu_device="X", date="2026-01-02T"))
    expect("noisy" not in text, text)
    quote_files()


def quote_files():
    """The tables of what has run on a GPU, servers and loading."""
    with tempfile.TemporaryDirectory() as folder:
        TABLES.ROOT = pathlib.Path(folder)
        pathlib.Path(folder, "bench/results").mkdir(parents=True)
        file = pathlib.Path(folder, "bench/results/x.json")
        file.write_text(json.dumps({"benchmarks": [row(), row(device="cuda:0", real_time=0.0, error_message="not measured: no GPU")]}))
        expect(TABLES.gpu("*.json").startswith("Nothing: "), "no GPU was measured")
        file.write_text(json.dumps({"benchmarks": [row(device="cuda:0")]}))
        expect("| `bench/results/x.json` | 1 | model |" in TABLES.gpu("*.json"), "a GPU was measured")
        file.write_text(json.dumps({"device": "cuda:0", "goals": [{"goal": "replay"}, {"goal": "fused"}], "cells": [{}, {}, {}]}))
        expect("| `bench/results/x.json` | 3 | goals: replay, fused |" in TABLES.gpu("*.json"), "goals were measured")
    text = TABLES.servers({"processors": 2, "model": "m.keras", "batch": 64, "cpu_device": "X, avx2; oneDNN 3", "ray": "2", "date": "2026-01-02T03:04:05Z", "bytes_a_row": 1000, "model_mb": 3.0,
                           "rows": {"alone": {"per_s": 200000.0}, "workers": {"per_s": 100000.0, "process_mb": 50.0}}, "requests": {"a server": {"per_s": 1234.5}}})
    expect("| alone | 200,000 |  |" in text and "| workers | 100,000 | 50 |" in text and "| a server | 1,234 |" in text, text)
    expect("| alone | 6.4 million | 6 GB/s | 3 MB for the model | 102 million |" in text and "| workers | 3.2 million | 3 GB/s | 64 x 50 MB | 51.2 million |" in text, text)
    expect("at most 64 million rows" in text and "2026-01-02 (X, avx2; oneDNN 3):" in text, text)
    text = TABLES.load({"model.h5": {"bytes": 4e8, "load_ms": 80.0, "read_and_copy_ms": 100.0, "ratio": 0.8, "peak_over_file": 1.02}})
    expect("| model.h5 | 400 | 80 | 100 | 0.80 | 1.02 |" in text and "instruction set and oneDNN's version were not recorded" in text, text)
    text = TABLES.load({"date": "2026-01-02T03:04:05Z", "cpu_device": "X, avx2; oneDNN 3",
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
