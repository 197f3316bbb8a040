"""Real logs, spoiled entry by entry, replayed by the whole program.

Each replay has to end by itself, in time, with exit status 0 or 3, and with a
sentence when it is 3: never by a signal, an upstream exit or an assertion.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import shutil
import time

from ftlib import entries, wire
from ftlib.process import FtTimeout

FAILED = 3                  # exit status: ft/control.h
BOUND_S = 60                # a replay that is stuck is stopped after 10 s
AT_A_TIME = 12
CHANGES_MAX = 3


class Case:
    """One spoiled log and the process that replays it."""

    def __init__(self, pair, recording, others, seed, number):
        rng = random.Random(f'{seed}:{number}')
        self.name = f'{recording.name} {seed}:{number}'
        self.number = number
        parts = entries.split(recording.data)
        self.what = []
        for _ in range(rng.randrange(1, CHANGES_MAX + 1)):
            if len(parts) > 2:
                what, parts = entries.mutate(parts, rng, others)
                self.what.append(what)
        self.path = os.path.join(pair.directory, f'{number}.log')
        wire.write_log(self.path, recording.hello, b''.join(parts))
        if os.path.exists(os.path.join(pair.directory, 'a', 'disk.raw')):
            node = os.path.join(pair.directory, f'r{number}')
            os.makedirs(node, exist_ok=True)
            shutil.copy(os.path.join(pair.directory, 'a', 'disk.raw'), node)
        self.machine = pair.start_machine(f'r{number}',
                                          f'replay,log={self.path}')

    def result(self):
        """(what happened in a word, what is wrong or None)"""
        try:
            status = self.machine.process.wait(BOUND_S)
        except FtTimeout:
            return 'hang', f'it did not end within {BOUND_S} s'
        said = self.machine.process.errors()
        if status not in (0, FAILED):
            return 'bad', self.machine.process.exit_text()
        if status == FAILED and ' ft: ' not in said:
            return 'bad', 'exit status 3 without a reason'
        if status == 0:
            return 'replayed', None
        for word, pattern in (('refused', 'is bad'),
                              ('unfollowed', "can't be followed"),
                              ('stuck', 'no progress'),
                              ('differs', 'diff')):
            if pattern in said:
                return word, None
        return 'stopped', None

    def end(self):
        self.machine.end()
        shutil.rmtree(self.machine.directory, ignore_errors=True)


def run_some(recording, others, seed, numbers, new, counts):
    """Several at once, since one may be stuck for 10 s; returns problems."""
    problems = []
    with recording.pair() as pair:
        cases = [Case(pair, recording, others, seed, n) for n in numbers]
        for case in cases:
            word, wrong = case.result()
            counts[word] = counts.get(word, 0) + 1
            if wrong:
                kept = os.path.join(new, f'replay-{seed}-{case.number}.log')
                shutil.copy(case.path, kept)
                problems.append(
                    f'{case.name} ({", ".join(case.what)}): {wrong}; the log '
                    f'is {kept}\n{case.machine.process.errors()[-2000:]}')
            case.end()
    return problems


def fuzz(tap, recordings, seconds, new, seed=None):
    new.mkdir(parents=True, exist_ok=True)
    seed = seed or random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    print(f'# replay: seed {seed}', flush=True)
    end, number, counts, problems = time.monotonic() + seconds, 0, {}, []
    while time.monotonic() < end:
        recording, other = rng.choice(recordings), rng.choice(recordings)
        others = entries.split(other.data)
        problems += run_some(recording, others, seed,
                             range(number, number + AT_A_TIME), new, counts)
        number += AT_A_TIME
    print(f'# replay: {number} logs: ' + ', '.join(
        f'{count} {word}' for word, count in sorted(counts.items())))
    tap.result(not problems, f'replay: {seconds} s of spoiled logs',
               '\n'.join(problems))
