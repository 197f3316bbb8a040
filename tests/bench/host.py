"""The machine that measures, and how much of it others used meanwhile.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import platform
import resource
import time

BUSY_LOAD = 1.0
BUSY_CORES = 0.2        # used by others; from here on the table warns
TICKS = os.sysconf('SC_CLK_TCK')
# Fields of /proc/stat's first line that are work: user, nice, system, irq,
# softirq, steal.
WORK_FIELDS = (1, 2, 3, 6, 7, 8)


def _cpu_model():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                return ' '.join(line.split(':', 1)[1].split())
    return platform.machine()


def _work_s():
    """CPU seconds that all of this host has worked."""
    with open('/proc/stat', encoding='ascii') as file:
        words = file.readline().split()
    return sum(int(words[field]) for field in WORK_FIELDS) / TICKS


def _own_s():
    """CPU seconds of this process and of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in
               (resource.getrusage(resource.RUSAGE_SELF),
                resource.getrusage(resource.RUSAGE_CHILDREN)))


class Host:
    """Its load is that of the moment when this is made."""

    def __init__(self):
        self.load = os.getloadavg()[0]
        self.busy = self.load > BUSY_LOAD
        self._cores = len(os.sched_getaffinity(0))

    def facts(self):
        return {
            'cpu': _cpu_model(),
            'cores': self._cores,
            'load_at_start': round(self.load, 2),
            'busy_at_start': self.busy,
        }


class Others:
    """How many cores are used by what is not ours, from now on."""

    def __init__(self):
        self._start = time.monotonic(), _work_s(), _own_s()

    def cores(self):
        """Our children must have ended."""
        since, work, own = self._start
        others = (_work_s() - work) - (_own_s() - own)
        return round(max(others, 0) / (time.monotonic() - since), 2)
