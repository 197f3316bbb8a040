#!/usr/bin/python3
"""Claimers race for a lease while its target dies, hangs and comes back.

FT_RACE_GENERATIONS=10000 FT_RACE_SEED=N: more than make check's share
(make lease-race).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths  # noqa: E402
from ftlib.target import MIB, Istgt, Tgt  # noqa: E402

GENERATIONS = int(os.environ.get('FT_RACE_GENERATIONS', 0))
SEED = int(os.environ.get('FT_RACE_SEED', 0)) or random.randrange(1 << 30)
FIT, UNFIT, FAILED = 0, 1, 2
LIMIT_S = 800 if not GENERATIONS else 7200
LUNS = {'lease': MIB}


def count(share):
    return str(GENERATIONS or share)


class Torture:
    """What happens to a target, one thing after the other."""

    def __init__(self, target, pauses_s):
        self._target = target
        self._pauses_s = pauses_s
        self._random = random.Random(SEED)
        self.counts = {'killed': 0, 'paused': 0}

    def until_end_of(self, process):
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                process.wait(self._random.uniform(*self._pauses_s))
                return
            except subprocess.TimeoutExpired:
                assert time.monotonic() < end, 'the race did not end'
            if self._random.random() < 0.5:
                self._target.kill()
                time.sleep(self._random.uniform(0, 0.5))
                self._target.start()
                self.counts['killed'] += 1
            else:
                self._target.pause()
                time.sleep(self._random.uniform(0.05, 1.5))
                self._target.resume()
                self.counts['paused'] += 1


class Race(unittest.TestCase):
    def race(self, target, *words, torture=None):
        """(exit status, output) of ft-lease check-target."""
        argv = [paths.ft_lease(), 'check-target', '--seed', str(SEED),
                '--force', *words, target.uri('lease')]
        with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            if torture:
                torture.until_end_of(process)
            output = process.communicate(timeout=LIMIT_S)[0]
        if torture:
            output += ('the target: ' + ', '.join(
                f'{what} {n} times' for what, n in torture.counts.items()))
        print(f'# seed {SEED}\n# ' + output.replace('\n', '\n# '),
              file=sys.stderr)
        return process.returncode, output

    def assert_fit(self, result, method):
        status, output = result
        self.assertEqual(status, FIT, output)
        self.assertIn(method, output)

    def test_compare_and_write(self):
        with Istgt(LUNS) as target:
            torture = Torture(target, (5, 9) if GENERATIONS else (10, 15))
            self.assert_fit(self.race(
                target, '--generations', count(600), '--claimers',
                '8' if GENERATIONS else '4', torture=torture),
                'COMPARE AND WRITE')

    def test_reservation(self):
        with Tgt(LUNS, io_threads=16, faulty=True) as target:
            target.faults.delay_writes(3, 300)
            torture = Torture(target, (0.5, 4))
            self.assert_fit(self.race(target, '--generations', count(600),
                                      torture=torture), 'reservation')

    def assert_found_out(self, target, method):
        status, output = self.race(target, '--generations', '2000',
                                   '--method', method)
        self.assertEqual(status, UNFIT, output)
        self.assertIn('was won twice', output)

    def test_storage_that_is_not_atomic_is_found_out(self):
        with Tgt(LUNS, io_threads=16) as target:
            self.assert_found_out(target, 'bare')

    def test_late_write_is_found_out(self):
        """A reservation taken from a dead claimer does not stop its write."""
        with Tgt(LUNS, io_threads=16, faulty=True) as target:
            target.faults.delay_writes(20, 4000)
            self.assert_found_out(target, 'rash')

    def test_target_without_compare_and_write(self):
        """It says that it has it, and does not."""
        with Tgt(LUNS) as target:
            status, output = self.race(target, '--method', 'compare')
            self.assertEqual(status, FAILED)
            self.assertIn('5/2000', output)


if __name__ == '__main__':
    unittest.main()
