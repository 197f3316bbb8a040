"""The way of an answer: thread switches and system calls for each ping.

Counted by perf for each thread, over pings and over as long without; the
difference is the pings'.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import signal
import subprocess
import time

from ftlib import FtError

from rows import ping_times
from subject import Subject

PINGS = 200
EVENTS = {'context-switches': 'switches', 'raw_syscalls:sys_enter': 'calls'}
PERF_BOUND_S = 30
# Of the threads whose names say little.
CALLED = {'qemu-measured': 'main loop', 'ALL CPUs/TCG': 'vCPU',
          'CPU 0/TCG': 'vCPU'}
NAMES = ('-name', 'guest=bench,debug-threads=on')


class _Counters:
    """Of all threads of some processes, from now to stop()."""

    def __init__(self, machines, directory):
        self._machines = machines
        self._path = os.path.join(directory, 'perf.stat')
        self._process = subprocess.Popen(
            ['perf', 'stat', '-x', ';', '-o', self._path, '--per-thread',
             '-e', ','.join(EVENTS), '-p',
             ','.join(str(machine.pid) for machine in machines)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)             # it has no word for "ready"
        if self._process.poll() is not None:
            raise FtError(f'perf: {self._process.stderr.read().strip()}')

    def stop(self):
        """{(node, thread's name): {'switches', 'calls'}}"""
        owner = {thread: machine.node for machine in self._machines
                 for thread in os.listdir(f'/proc/{machine.pid}/task')}
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PERF_BOUND_S)
        self._process.stderr.close()
        with open(self._path, encoding='utf-8') as file:
            return counts(file.read(), owner)


def _called(name):
    return next((called for start, called in CALLED.items()
                 if name.startswith(start)), name)


def counts(text, owner):
    """Of what perf stat wrote; threads of one name are taken together."""
    found = {}
    for line in text.splitlines():
        words = line.split(';')
        if len(words) < 4 or words[3] not in EVENTS:
            continue
        name, _, thread = words[0].rpartition('-')
        node = owner.get(thread.strip())
        if node and words[1].isdecimal():
            row = found.setdefault((node, _called(name.strip())),
                                   dict.fromkeys(EVENTS.values(), 0))
            row[EVENTS[words[3]]] += int(words[1])
    return found


def _of_mode(subject, progress):
    """[{'side', 'thread', 'switches', 'calls'}] for each ping."""
    pair = subject.pair
    machines = [machine for machine in (pair.primary, pair.backup) if machine]

    def count(work):
        counters = _Counters(machines, pair.directory)
        try:
            work()
        finally:
            result = counters.stop()
        return result

    subject.settle()
    progress(f'{subject.mode}: pings')
    began = time.monotonic()
    pinged = count(lambda: ping_times(subject, PINGS))
    seconds = time.monotonic() - began
    progress(f'{subject.mode}: as long without')
    idle = count(lambda: time.sleep(seconds - 0.5))
    rows = []
    for (node, thread), row in sorted(pinged.items()):
        less = idle.get((node, thread), {})
        rows.append({'side': {'a': 'primary', 'b': 'backup'}[node],
                     'thread': thread,
                     **{key: round((value - less.get(key, 0)) / PINGS, 2)
                        for key, value in row.items()}})
    return rows


def path(network, qemu, append, progress):
    """{mode: rows}"""
    if network.why_no_ping:
        raise FtError(f'not measured: {network.why_no_ping}')
    if not shutil.which('perf'):
        raise FtError('perf is missing: install linux-perf')
    result = {}
    for mode in ('plain', 'protected'):
        with Subject(mode, network, qemu, append, NAMES) as subject:
            progress(f'{mode}: boots')
            subject.boot()
            result[mode] = _of_mode(subject, progress)
    return result
