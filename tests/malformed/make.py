# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of malformed and valid files: make.py OUT [--all] [--seed N]. Without --all, long loops are sampled."""
import argparse
import random

import accept
import configs
import costs
import filters
import hdf5s
import loras
import operations
import zips
from pack import Pack
from tiny import Tiny

SAMPLE = 0.01  # the share of each loop that is kept
SAMPLE_VALID = 2500


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pack = Pack(options.out, random.Random(options.seed), 1 if options.all else SAMPLE)
    tiny = Tiny()
    for families in (zips, configs, operations, costs, hdf5s, filters, loras):
        families.every(pack, tiny)
    hostile = sum(pack.counts.values())
    accept.every(pack, hostile if options.all else SAMPLE_VALID)
    pack.close()
    total = sum(pack.counts.values())
    print(f"{total} files in {len(pack.counts)} families, {hostile} of them malformed")


main()
