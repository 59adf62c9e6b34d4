#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists lamella's public names by scope, from clang's JSON. Fails if two names in a scope differ only by case.

Usage: names.py AST [--list]
"""
import collections
import json
import sys

SCOPES = {"NamespaceDecl", "CXXRecordDecl", "EnumDecl", "ClassTemplateDecl"}
NAMED = SCOPES | {"FunctionDecl", "CXXMethodDecl", "FieldDecl", "VarDecl", "EnumConstantDecl", "TypeAliasDecl", "FunctionTemplateDecl", "VarTemplateDecl",
                  "ConceptDecl", "TypeAliasTemplateDecl"}
INSIDE = {"core", "model", "detail", "ops", "c"}  # internal namespaces


def walk(node, scope, names):
    access = "private" if node.get("tagUsed") == "class" else "public"
    for child in node.get("inner", []):
        kind, name = child.get("kind"), child.get("name")
        if kind == "AccessSpecDecl":
            access = child["access"]
        if kind not in NAMED or not name or access == "private" or child.get("isImplicit") or name.startswith("operator"):
            continue
        if kind == "NamespaceDecl" and name in INSIDE:
            continue
        names[scope].add(name)
        if kind in SCOPES:
            walk(child, f"{scope}::{name}", names)


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    decoder, at, names = json.JSONDecoder(), 0, collections.defaultdict(set)
    while (at := text.find("{", at)) >= 0:
        node, at = decoder.raw_decode(text, at)
        if node.get("kind") == "NamespaceDecl" and node.get("name") == "lamella":
            walk(node, "lamella", names)
    if "--list" in sys.argv:
        print("\n".join(f"{scope}::{name}" for scope in sorted(names) for name in sorted(names[scope])))
    bad = 0
    for scope, found in sorted(names.items()):
        by_case = collections.defaultdict(list)
        for name in found:
            by_case[name.casefold()].append(name)
        for alike in by_case.values():
            if len(alike) > 1:
                bad += 1
                print(f"names of {scope} that differ by case only: {', '.join(sorted(alike))}")
    print(f"{sum(map(len, names.values()))} names")
    return 1 if bad or len(names["lamella"]) < 100 else 0


sys.exit(main())
