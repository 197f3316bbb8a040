#!/usr/bin/python3
"""A write to a shared disk waits for the backup, and what does not (M5).

The link's way back is stalled: the backup gets the log, and its
acknowledgements do not arrive.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.shared import SharedPair, reports  # noqa: E402

TAKEOVER_S = 30
STALL_S = 1                 # well below what makes the primary suspect


def held(pair):
    return pair.primary.query()['disks']['held-writes']


def contents(pair):
    with open(pair.disk_path, 'rb') as file:
        return file.read()


class Order(unittest.TestCase):
    def stall(self, pair, direction):
        """Returns when writes wait, and no other request is under way."""
        pair.relay.tcp.stall(direction)
        wait_for(lambda: (disks := pair.primary.query()['disks'])[
            'held-writes'] and disks['held-writes'] == disks['unfinished'],
            20, 'that only writes wait', pair.primary.process, interval=0.01)

    def test_nothing_is_written_unacknowledged(self):
        with SharedPair(relay=True) as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            for _ in range(3):
                self.stall(pair, 'to-client')
                before = contents(pair)
                end = time.monotonic() + STALL_S
                while time.monotonic() < end:
                    self.assertEqual(contents(pair), before)
                self.assertGreater(held(pair), 0)
                pair.relay.tcp.restore()
                wait_for(lambda: contents(pair) != before, 20,
                         'that writes go on', pair.primary.process)
                pair.wait_reports(pair.primary, len(reports(pair.primary)) + 2)
            assert_equal_digest(pair.primary, pair.backup, 60)
            pair.assert_no_errors()

    def takes_over(self, pair):
        pair.primary.process.kill()
        pair.relay.cut()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        pair.wait_reports(pair.backup, 3)
        wait_for(lambda: not pair.backup.query()['disks']['held-writes'], 20,
                 'that nothing waits', pair.backup.process)
        pair.assert_no_errors()
        pair.backup.end()
        pair.assert_whole()

    def test_killed_with_writes_in_its_hands(self):
        """Which the backup knows of, or not."""
        for direction in ('to-client', 'to-target'):
            with self.subTest(direction=direction), \
                    SharedPair(relay=True) as pair:
                pair.protect()
                pair.wait_reports(pair.primary, 3)
                self.stall(pair, direction)
                self.takes_over(pair)

    def test_goes_on_alone_with_writes_in_its_hands(self):
        with SharedPair(relay=True) as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            self.stall(pair, 'both')
            pair.backup.process.kill()
            pair.relay.cut()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            pair.wait_reports(pair.primary, len(reports(pair.primary)) + 3)
            self.assertEqual(held(pair), 0)
            pair.assert_no_errors()
            pair.primary.end()
            pair.assert_whole()

    def reset(self, pair):
        """While writes wait; it does not wait for them."""
        self.stall(pair, 'to-client')
        before = contents(pair)
        pair.primary.qmp.send('system_reset')
        pair.primary.qmp.wait_event('RESET', timeout=20)
        self.assertEqual(contents(pair), before)
        self.assertGreater(held(pair), 0)

    def test_reset_with_writes_waiting(self):
        with SharedPair(relay=True) as pair:
            pair.protect()
            for _ in range(3):
                pair.wait_reports(pair.primary, 1 + len(reports(
                    pair.primary)))
                self.reset(pair)
                pair.relay.tcp.restore()
                pair.backup.qmp.wait_event('RESET', timeout=20)
                assert_equal_digest(pair.primary, pair.backup, 60)
            pair.wait_reports(pair.primary, 2 + len(reports(pair.primary)))
            self.takes_over(pair)

    def test_killed_after_a_reset_with_writes_waiting(self):
        """The backup owes them: it can't know whether they were done."""
        with SharedPair(relay=True) as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            self.reset(pair)
            before = contents(pair)
            pair.backup.qmp.wait_event('RESET', timeout=20)
            self.assertGreater(
                pair.backup.query()['disks']['unfinished'], 0)
            self.takes_over(pair)
            self.assertNotEqual(contents(pair), before)

    def test_loser_issues_nothing(self):
        """Stopped with writes in its hands, overtaken, and continued."""
        with SharedPair(relay=True, drive=',file.locking=off') as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            self.stall(pair, 'to-client')
            pair.primary.process.signal(signal.SIGSTOP)
            pair.relay.cut()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.qmp.command('stop')
            wait_for(lambda: not pair.backup.query()['disks']['unfinished'],
                     20, 'that the survivor has done all', interval=0.05)
            before = contents(pair)
            pair.primary.process.signal(signal.SIGCONT)
            self.assertEqual(pair.primary.process.wait(30), 4)
            self.assertEqual(contents(pair), before)
            pair.backup.qmp.command('cont')
            pair.wait_reports(pair.backup, 3)
            pair.assert_no_errors()
            pair.backup.end()
            pair.assert_whole()


if __name__ == '__main__':
    unittest.main()
