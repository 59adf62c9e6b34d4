#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bench/results keeps of results of `lamella bench --json` and bench/peers: tables of the rows that were measured, with their medians to
four digits; the rows that were not are counted by device and reason. A field that all rows of a table share is written once, and a name that
follows from the other fields is not written.

Usage: keep.py RESULT.json KEPT.json     the same file may be both; what was kept once stays as it is
"""
import argparse
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True

# Rows that agree in these, present or not, are in one table.
KINDS = ("level", "model", "sweep", "dtype", "tf32", "device", "engine", "fusion", "graph", "cache", "callers")
FIELDS = (*KINDS, "peer", "name", "activation", "batch", "width", "depth", "engine_ran", "fused", "real_time", "min_us", "spread", "speedup", "bytes",
          "flops", "floor_us", "bound_by", "predicted_us", "lamella_us", "ratio", "p50_us", "p90_us", "p99_us", "rows_per_s", "warning",
          "error_occurred", "error_message")
LONG = re.compile(r"one call (?:took|would take about) \S+ s, the limit is (\S+ s)")
REFUSED = re.compile(r"refused: engine '(\w+)' cannot do this")


def why_absent(row):
    """Why a row has no time, without sizes and times that differ between rows; None if it has one."""
    message = row.get("error_message") or ""
    refused = REFUSED.match(message)
    if refused:
        return f"the engine {refused.group(1)} does not do what was asked for"
    if message.startswith("refused: no engine can do this"):
        return "no engine does what was asked for"
    if message.startswith("not measured: "):
        return LONG.sub(r"one call would take longer than \1", message.removeprefix("not measured: "))
    return None


def brief(value):
    """Rounds numbers to four digits: more are noise."""
    if not isinstance(value, float):
        return value
    value = float(f"{value:.4g}")
    return int(value) if value.is_integer() else value


def name_of(row):
    """The name that `lamella bench` and bench/peers give to a row of these fields."""
    def field(of):
        return row.get(of) or ""

    size = f"/batch:{row.get('batch')}" + ("" if field("model") else f"/width:{row.get('width')}/depth:{row.get('depth')}")
    if field("peer"):
        return f"peer/{field('peer')}/{field('activation')}/{'tf32' if field('tf32') else field('dtype')}{size}/{field('device')}"
    sweep = f"/sweep:{field('sweep')}" if field("sweep") else ""
    graph = "" if row.get("graph") is None else "/graph" if row["graph"] else "/steps"
    return (f"{field('level')}{sweep}/{field('model') or field('activation')}/{field('dtype') or 'as-written'}{size}/{field('device')}"
            f"/engine:{field('engine')}/fusion:{field('fusion')}{graph}/{field('cache')}")


def trimmed(row):
    """The fields of a row that are kept; those that other fields give are left out."""
    found = {field: brief(row[field]) for field in FIELDS if row.get(field) not in (None, "")}
    if found.get("name") == name_of(found):
        del found["name"]
    if "error_message" in found:
        found.pop("error_occurred", None)
    return found


def table_of(rows):
    """What all rows share, then the other fields as columns, then the rows."""
    every = [field for field in FIELDS if any(field in row for row in rows)]
    shared = {field: rows[0][field] for field in every if all(row.get(field) == rows[0].get(field) for row in rows)}
    columns = [field for field in every if field not in shared]
    return shared | {"columns": columns, "rows": [[row.get(field) for field in columns] for row in rows]}


def rows_of(table):
    shared = {field: value for field, value in table.items() if field not in ("columns", "rows")}
    for values in table["rows"]:
        row = shared | {field: value for field, value in zip(table["columns"], values) if value is not None}
        yield {"name": name_of(row)} | row | ({"error_occurred": True} if "error_message" in row else {})


def rows_in(data):
    """The rows of a result, kept or not, as they are in it."""
    return data.get("benchmarks", []) + [row for table in data.get("tables", []) for row in rows_of(table)]


def kept(data):
    tables, absent = {}, {}
    for row in rows_in(data):
        why = why_absent(row)
        if why is None:
            row = trimmed(row)
            tables.setdefault(tuple(row.get(field) for field in KINDS), []).append(row)
        else:
            key = (row.get("peer") or "", row.get("device") or "", why)
            absent[key] = absent.get(key, 0) + 1
    counted = [{"peer": peer, "device": device, "why": why, "rows": count} for (peer, device, why), count in absent.items()]
    return {"context": data.get("context", {}), "absent": data.get("absent", []) + counted, "tables": [table_of(rows) for rows in tables.values()]}


def text(data):
    """JSON with each row on a line."""
    def table(of):
        head = json.dumps({field: value for field, value in of.items() if field != "rows"})[:-1]
        return head + ', "rows": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in of["rows"]) + "\n]}"

    absent, tables = ",\n".join(map(json.dumps, data["absent"])), ",\n".join(map(table, data["tables"]))
    return f'{{"context": {json.dumps(data["context"], indent=1)},\n"absent": [\n{absent}\n],\n"tables": [\n{tables}\n]}}\n'


def whole(data):
    """What is kept of a result, its rows in one list, "benchmarks", each with all fields; those not written are None."""
    brief = kept(data)
    return {"context": brief["context"], "absent": brief["absent"],
            "benchmarks": [dict.fromkeys(FIELDS) | row for table in brief["tables"] for row in rows_of(table)]}


def rows(data):
    """The rows of a result, kept or not, that were measured."""
    return whole(data)["benchmarks"]


def read(path):
    """whole() of a file."""
    return whole(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("kept", type=pathlib.Path)
    options = parser.parse_args()
    options.kept.write_text(text(kept(json.loads(options.result.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    main()
