#!/usr/bin/python3
"""A guest on a disk that both machines share (M21).

disk.rom keeps eight requests in flight and reads back what it wrote.  The
backup neither reads nor writes until it has won: what was read comes with
the log, and requests that began and did not end are done again then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.shared import SharedPair, reports  # noqa: E402

TAKEOVER_S = 20


class SharedDisk(unittest.TestCase):
    def test_primary_killed_under_load(self):
        for count in (3, 5):
            with self.subTest(count=count), SharedPair() as pair:
                pair.protect()
                pair.wait_reports(pair.primary, count)
                pair.primary.process.kill()
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                last = reports(pair.primary)[-1]
                pair.wait_reports(pair.backup, 4, last[1] + 1)
                pair.assert_no_errors()
                pair.backup.end()
                pair.assert_whole()


if __name__ == '__main__':
    unittest.main()
