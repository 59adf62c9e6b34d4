# SPDX-License-Identifier: Apache-2.0
"""The share of the processors that other programs use during a measurement, from /proc; 0 if the system does not say."""
import os
import time

TICK = os.sysconf("SC_CLK_TCK")
IDLE = (3, 4)  # idle, and waiting for a disk
COUNTED = 8  # user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; guests are part of user


def busy_seconds():
    """Busy time of all processors since boot, including that of other guests of the same hardware."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(v) for v in file.readline().split()[1:1 + COUNTED]]
    except (OSError, ValueError):
        return None
    return sum(v for i, v in enumerate(ticks) if i not in IDLE) / TICK


def seconds_of(process):
    """Processor time that a live process has used."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def keep_to(count):
    """Restricts this process and its children to `count` processors, on different cores if there are enough."""
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return
    seen, first, others = set(), [], []
    for processor in allowed:
        try:
            with open(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list", encoding="ascii") as file:
                core = file.read()
        except OSError:
            core = processor
        (others if core in seen else first).append(processor)
        seen.add(core)
    os.sched_setaffinity(0, (first + others)[:count])


class Neighbours:
    """Counts from its creation on. `processes`: others that are part of the measurement, besides this one."""

    def __init__(self, processes=()):
        self.processes = list(processes)
        self.begin, self.busy, self.own = time.monotonic(), busy_seconds(), self.own_seconds()

    def own_seconds(self):
        return time.process_time() + sum(map(seconds_of, self.processes))

    def share(self):
        """The others' share of all processors, 0 to 1."""
        elapsed = time.monotonic() - self.begin
        if self.busy is None or elapsed < 0.1:  # the system counts in hundredths of a second
            return 0.0
        others = busy_seconds() - self.busy - (self.own_seconds() - self.own)
        return min(1.0, max(0.0, others / (elapsed * os.cpu_count())))
