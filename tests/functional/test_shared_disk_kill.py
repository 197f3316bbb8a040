#!/usr/bin/python3
"""The primary dies at each point of a write's way to a shared disk (M11).

disk.rom checks all that it reads against what it wrote, and the sectors on
the disk carry checksums: a write that was lost or torn after the guest saw it
complete is found, by the backup's guest or on the disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import signal
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib.shared import SharedPair, reports  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

POINTS = ('submitted', 'logged', 'sent', 'acknowledged', 'issued',
          'completed', 'ended', 'delivered')
TAKEOVER_S = 30
WRITES_MAX = 200
DIES_S = 60
READS = 300                 # after the takeover; the disk is read some times


class Kill(unittest.TestCase):
    def setUp(self):
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.random = random.Random(self.seed)
        print(f'# seed {self.seed}')

    def kill_at(self, pair, point, path):
        pair.protect()
        pair.wait_reports(pair.primary, 2)
        pair.primary.qmp.command(
            'x-ft-fault', **{'disk-point': point,
                             'disk-count': self.random.randint(1, WRITES_MAX)})
        self.assertEqual(pair.primary.process.wait(DIES_S), -signal.SIGKILL)
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        last = reports(pair.primary)[-1]
        pair.wait_reports(pair.backup, 2, last[1] + READS)
        pair.assert_no_errors()
        pair.backup.end()
        pair.assert_whole(path)

    def test_on_a_file(self):
        for point in POINTS:
            with self.subTest(point=point), SharedPair(faults=True) as pair:
                self.kill_at(pair, point, None)

    def test_on_a_lun(self):
        """Whose target does 16 writes at a time, in any order."""
        for point in POINTS:
            with self.subTest(point=point), \
                    Tgt({'disk': 8 * MIB}, io_threads=16) as target, \
                    SharedPair(place=target.uri('disk'),
                               faults=True) as pair:
                self.kill_at(pair, point, target.path('disk'))


if __name__ == '__main__':
    unittest.main()
