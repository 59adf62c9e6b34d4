# SPDX-License-Identifier: Apache-2.0
"""Reads the machine code of kernels from cubins of sm_80 to sm_90, without a disassembler.

An instruction has 16 bytes. Bits 0-11 are the operation, 12-15 its predicate; of a load or a store bits 73-75 are the size. Bits 105-125 are
what the scheduler is told, among it the barrier that the instruction signals when its result is there (110-112, 7: none) and those that it
waits for (116-121). So it can be seen which loads are under way when a thread first waits for one.
"""
import struct

LOAD, STORE, LOCAL_LOAD, LOCAL_STORE, COPY = 0x181, 0x186, 0x183, 0x187, 0x1AE
BRANCH, CALL, EXIT, SYNC_SET, SYNC = 0x147, 0x144, 0x14D, 0x145, 0x141
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 8, 6: 16}
NONE = 7


class Instruction:
    def __init__(self, at, low, high):
        self.at, self.operation, self.word = at, low & 0x1FF, low & 0xFFF
        self.always = (low >> 12 & 15) == 7
        self.bytes = SIZES.get(high >> 9 & 7, 0)
        self.signals, self.waits = high >> 46 & 7, high >> 52 & 63
        words = low >> 34 | (high & 0x3FFFF) << 30  # words of 4 bytes, relative to the next instruction
        if self.operation == BRANCH:  # a branch has the lowest bits elsewhere
            words = (words << 8 | (low >> 16 & 0xFF)) & (1 << 48) - 1
        self.target = at + 16 + 4 * (words - (1 << 48) if words >> 47 else words)
        self.surely = self.always and (high >> 23 & 15) == 7  # a branch has a second predicate


class Kernel:
    def __init__(self, name, registers, code):
        self.name, self.registers = name, registers
        self.code = [Instruction(at, *struct.unpack_from("<QQ", code, at)) for at in range(0, len(code), 16)]

    def count(self, operation, size=None):
        return sum(i.operation == operation and size in (None, i.bytes) for i in self.code)

    def local(self):
        return self.count(LOCAL_LOAD) + self.count(LOCAL_STORE)

    def in_flight(self, size):
        """The most loads of that size in flight, on any path through the kernel, when it first waits for a load."""
        most, seen, ways = 0, set(), [(0, (), ())]
        while ways:
            at, loads, syncs = way = ways.pop()
            while True:
                if (at, loads) in seen or at >= 16 * len(self.code):
                    break
                seen.add((at, loads))
                i = self.code[at // 16]
                if any(i.waits >> barrier & 1 for barrier, _ in loads):
                    most = max(most, sum(width == size for _, width in loads))
                    break
                if i.operation == LOAD and i.signals != NONE:
                    loads += ((i.signals, i.bytes),)
                if i.operation == EXIT and i.always:
                    break
                if i.operation == SYNC_SET:
                    syncs += (i.target,)
                if i.operation == SYNC and syncs:
                    at, syncs = syncs[-1], syncs[:-1]
                    continue
                if i.operation == BRANCH:
                    if i.surely:
                        at = i.target
                        continue
                    ways.append((i.target, loads, syncs))
                at += 16
        return most


    def around(self, size, loads, stores):
        """The most instructions on a way around a loop that makes that number of loads and stores of that size, no others, and no call; None where there is
        none. The most, because threads of a warp that part go both ways."""
        ends = [i.at for i in self.code if i.operation == BRANCH and i.target <= i.at]
        return min(filter(None, (self._way(self.code[end // 16].target, end, size, (loads, stores)) for end in ends)), default=None)

    def _way(self, begin, end, size, wanted):
        most, ways = {}, {begin: {((0, 0), ()): 0}}  # by how many loads and stores there were, and where the innermost sync goes
        for at in range(begin, end + 16, 16):
            i = self.code[at // 16]
            for (seen, syncs), count in ways.pop(at, {}).items():
                if i.operation == CALL or (i.operation in (LOAD, STORE) and i.bytes != size):
                    continue
                if i.operation in (LOAD, STORE):
                    seen = (seen[0] + (i.operation == LOAD), seen[1] + (i.operation == STORE))
                if at == end:
                    most[seen] = max(count + 1, most.get(seen, 0))
                    continue
                to = [] if (i.operation == BRANCH and i.surely) or (i.operation == EXIT and i.always) else [at + 16]
                if i.operation == SYNC_SET:
                    syncs += (i.target,)
                elif i.operation == SYNC and syncs:
                    to, syncs = [syncs[-1]], syncs[:-1]
                elif i.operation == BRANCH:
                    to.append(i.target)
                for next_at in to:
                    if at < next_at <= end:
                        known = ways.setdefault(next_at, {})
                        known[seen, syncs] = max(count + 1, known.get((seen, syncs), 0))
        return most.get(wanted)


def sections(data):
    """The sections of an ELF file, by name: type, offset, length and link."""
    begin, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQII", data, begin + n * size) for n in range(count)]
    texts = headers[names][4]
    return {data[texts + h[0] : data.index(b"\0", texts + h[0])].decode(): data[h[4] : h[4] + h[5]] for h in headers if h[1] != 8}


def kernels(path):
    """The kernels of a cubin, an ELF file with a section per kernel."""
    with open(path, "rb") as file:
        parts = sections(file.read())
    symbols, names, notes, registers, at = parts[".symtab"], parts[".strtab"], parts[".nv.info"], {}, 0
    while at < len(notes):  # format, attribute, then depending on the format a number or that many bytes
        form, attribute, value = struct.unpack_from("<BBH", notes, at)
        if (form, attribute) == (4, 0x2F):  # the number of registers of a kernel
            symbol, used = struct.unpack_from("<II", notes, at + 4)
            name, = struct.unpack_from("<I", symbols, 24 * symbol)
            registers[names[name : names.index(b"\0", name)].decode()] = used
        at += 4 + (value if form == 4 else 0)
    for section, code in parts.items():
        if section.startswith(".text."):
            name = section.removeprefix(".text.")
            yield Kernel(name, registers[name], code)
