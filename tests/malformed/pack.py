# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus as one file for malformed_runner.cpp: bases, and cases that are whole files or a base with a few edits."""
import struct

import numpy as np

REFUSED, ACCEPTED, EITHER = 0, 1, 2


class Pack:
    """Writes cases in order. Of loops, a random `share` of the cases is kept; single cases are all kept."""

    def __init__(self, path, random, share):
        self.out = open(path, "wb")
        self.out.write(b"LMC1")
        self.random = random
        self.share = share
        self.bases = {}
        self.counts = {}

    def close(self):
        self.out.close()

    def _text(self, value):
        raw = value.encode() if isinstance(value, str) else value
        return struct.pack("<H", len(raw)) + raw

    def _begin(self, family, verdict, codes, words):
        self.counts[family] = self.counts.get(family, 0) + 1
        self.out.write(b"\x02" + self._text(family) + bytes([verdict]) + self._text("|".join(codes)) + self._text("\x1f".join(words)))

    def _answer(self, answer):
        for array in answer or ():
            array = np.ascontiguousarray(array, "<f4")
            self.out.write(struct.pack("<II", *array.shape) + array.tobytes())

    def case(self, family, data, codes=(), words=(), verdict=REFUSED, answer=None):
        """Adds a whole file. It must be refused with one of `codes`, or with any code if there are none. With ACCEPTED, `answer` is (x, y), two
        float32 matrices."""
        self._begin(family, verdict, codes, words)
        self.out.write(b"\x00" + struct.pack("<I", len(data)) + data)
        self._answer(answer)

    def edit(self, family, base, edits, codes=(), words=(), verdict=REFUSED):
        """Adds `base` with edits: (offset, number of bytes to remove, bytes to insert)."""
        if base not in self.bases:
            self.bases[base] = len(self.bases)
            self.out.write(b"\x01" + struct.pack("<II", self.bases[base], len(base)) + base)
        self._begin(family, verdict, codes, words)
        self.out.write(b"\x01" + struct.pack("<IH", self.bases[base], len(edits)))
        for offset, erase, insert in edits:
            self.out.write(struct.pack("<III", offset, erase, len(insert)) + insert)

    def drawn(self):
        """Whether to keep this case of a loop."""
        return self.share >= 1 or self.random.random() < self.share
