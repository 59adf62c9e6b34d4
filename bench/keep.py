#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bench/results keeps of results of `lamella bench --json`, bench/peers and goals: each row that was measured, on one line, with its
median; the others are counted by device and reason.

Usage: keep.py RESULT.json KEPT.json     the same file may be both; what was kept once stays as it is
"""
import argparse
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True

FIELDS = ("name", "level", "peer", "model", "sweep", "batch", "width", "depth", "activation", "dtype", "tf32", "device", "engine", "fusion", "graph",
          "cache", "engine_ran", "fused", "real_time", "min_us", "spread", "speedup", "bytes", "flops", "floor_us", "bound_by",
          "predicted_us", "lamella_us", "ratio", "lowest", "highest", "p50_us", "p90_us", "p99_us", "callers", "rows_per_s", "warning", "error_occurred", "error_message")
LONG = re.compile(r"one call (?:took|would take about) \S+ s, the limit is (\S+ s)")
REFUSED = re.compile(r"refused: engine '(\w+)' cannot do this")


def why_absent(row):
    """Why a row has no time, without sizes and times that differ between rows; None if it has one."""
    message = row.get("error_message", "")
    refused = REFUSED.match(message)
    if refused:
        return f"the engine {refused.group(1)} does not do what was asked for"
    if message.startswith("not measured: "):
        return LONG.sub(r"one call would take longer than \1", message.removeprefix("not measured: "))
    return None


def brief(value):
    """Rounds numbers to four digits: more are noise."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def kept(data):
    rows, absent = [], {}
    for row in data.get("benchmarks", []):
        why = why_absent(row)
        if why is None:
            rows.append({field: brief(row[field]) for field in FIELDS if row.get(field) not in (None, "")})
        else:
            key = (row.get("peer") or "", row.get("device") or "", why)
            absent[key] = absent.get(key, 0) + 1
    counted = [{"peer": peer, "device": device, "why": why, "rows": count} for (peer, device, why), count in absent.items()]
    return {"context": data.get("context", {}), "absent": data.get("absent", []) + counted, "benchmarks": rows}


def text(data):
    """JSON with a row on each line."""
    absent, rows = (",\n".join(json.dumps(row) for row in data[part]) for part in ("absent", "benchmarks"))
    return f'{{"context": {json.dumps(data["context"], indent=1)},\n"absent": [\n{absent}\n],\n"benchmarks": [\n{rows}\n]}}\n'


def whole(data):
    """What is kept of a result, each row with all fields; those not written are None."""
    brief = kept(data)
    return brief | {"benchmarks": [dict.fromkeys(FIELDS) | row for row in brief["benchmarks"]]}


def rows(data):
    """The rows of a result, kept or not, that were measured."""
    return whole(data)["benchmarks"]


def read(path):
    """The same for a file."""
    return whole(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("kept", type=pathlib.Path)
    options = parser.parse_args()
    options.kept.write_text(text(kept(json.loads(options.result.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    main()
