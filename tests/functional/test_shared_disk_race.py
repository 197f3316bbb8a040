#!/usr/bin/python3
"""Data of a disk reach the guest at one instruction, in one order (M18, M19).

disk-race.rom polls the target of a read while that is in flight, spoils the
data of writes as soon as they were offered, and has requests that overlap.
What it sees is in its memory, so equal digests say that both machines saw
the same.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.shared import SharedPair  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

REPORT = re.compile(r'race rounds=(\d+) looks=\d+ checksum=\w+ errors=0\r')
TAKEOVER_S = 30
DIGESTS = 4
CACHES = ('writeback', 'writethrough')


def rounds(machine):
    """How many the guest says there were; none of them went wrong."""
    text = rom.text(machine)
    assert 'ERROR' not in text and 'PANIC' not in text, text[-2000:]
    found = REPORT.findall(text)
    return int(found[-1]) if found else 0


class Race(unittest.TestCase):
    def races(self, pair):
        def more(machine):
            seen = rounds(machine)
            wait_for(lambda: rounds(machine) > seen + 20, 60,
                     'more rounds of the guest', machine.process)
        pair.protect()
        for _ in range(DIGESTS):
            more(pair.primary)
            assert_equal_digest(pair.primary, pair.backup, 60)
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        more(pair.backup)
        more(pair.backup)

    def test_own_disks(self):
        with RomPair('disk-race', disk=True) as pair:
            self.races(pair)

    def test_shared_file(self):
        for cache in CACHES:
            with self.subTest(cache=cache), SharedPair('disk-race') as pair:
                pair.options[:] = [word + f',cache={cache}'
                                   if word.startswith('if=none') else word
                                   for word in pair.options]
                self.races(pair)

    def test_shared_lun(self):
        with Tgt({'disk': 8 * MIB}, io_threads=16) as target, \
                SharedPair('disk-race', place=target.uri('disk')) as pair:
            self.races(pair)


if __name__ == '__main__':
    unittest.main()
