#!/usr/bin/python3
"""A backup that reads the shared disk itself (reads=own, M23).

A write of what was read before waits until the backup has executed that
read.  disk-race.rom has reads and writes of the same sectors in flight all
the time; disk.rom reads back what it wrote.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.fake import FakeBackup  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.shared import SharedPair, reports  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

TAKEOVER_S = 30
STUCK_S = 40                # ft/limits.h: 10 s without a step
FAILED = 3
LOOKS = 20
READ_FAILS = """[inject-error]
event = "none"
iotype = "read"
errno = "5"
"""
# The first read of each of these; the device reads sector 0 when it is made.
FAILS_ONCE = ''.join(f'{READ_FAILS}once = "on"\nsector = "{sector}"\n'
                     for sector in range(64, 4096, 64))


class Sleeper(FakeBackup):
    """Acknowledges all of the log, and executes it when it is awake."""

    awake = True
    executed = 0

    def _executed(self):
        if self.awake:
            self.executed = self._whole
        return self.executed


def rounds(machine):
    text = rom.text(machine)
    assert 'ERROR' not in text and 'PANIC' not in text, text[-2000:]
    found = re.findall(r'rounds=(\d+) .* errors=0\r', text)
    return int(found[-1]) if found else 0


class OwnReads(unittest.TestCase):
    def lun(self):
        target = Tgt({'disk': 8 * MIB}, io_threads=16)
        return self.enterContext(target)

    def pair(self, target, image='disk', **rest):
        return self.enterContext(SharedPair(
            image, place=target.uri('disk'), drive=',cache=none',
            ft=',reads=own', **rest))

    def test_races(self):
        """Slower and slower, the backup: and yet it reads the same."""
        pair = self.pair(self.lun(), 'disk-race')
        pair.protect()

        def more(machine, count=20):
            seen = rounds(machine)
            wait_for(lambda: rounds(machine) > seen + count, 60,
                     'more rounds of the guest', machine.process)
        for _ in range(4):
            more(pair.primary)
            pair.backup.process.signal(signal.SIGSTOP)
            pair.backup.process.signal(signal.SIGCONT)
            assert_equal_digest(pair.primary, pair.backup, 60)
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        more(pair.backup)

    def test_nothing_read_is_in_the_log(self):
        target = self.lun()
        pair = self.pair(target)
        pair.protect()
        for count in range(3, 6):
            pair.wait_reports(pair.primary, count)
            assert_equal_digest(pair.primary, pair.backup, 60)
        pair.primary.qmp.command('quit')
        for machine in (pair.primary, pair.backup):
            self.assertEqual(machine.process.wait(30), 0,
                             machine.process.errors())
        pair.assert_no_errors()
        pair.assert_whole(target.path('disk'))
        log = os.path.join(pair.directory, 'a', pair.log)
        printed = subprocess.run([paths.ft_log(), 'print', log], text=True,
                                 capture_output=True, check=True).stdout
        self.assertIn('request', printed)
        self.assertNotIn('DISK_DATA', printed)
        replay = pair.start_replay_of(log, pair.disk_path, 'replay')
        self.assertEqual(replay.process.wait(30), 1)
        self.assertIn('reads=own', replay.process.errors())

    def test_backups_one_after_another(self):
        target = self.lun()
        pair = self.pair(target)
        begin_alone(pair)
        now = pair.primary
        with self.assertRaisesRegex(QmpError, 'not into a file'):
            now.qmp.command('ft-protect', peer='127.0.0.1:1',
                            state='file:state')
        for name in ('b', 'c'):
            pair.wait_reports(now, 3)
            backup = protect(pair, 'unix', now, name)
            for _ in range(2):
                pair.wait_reports(now, len(reports(now)) + 1)
                assert_equal_digest(now, backup, 60)
            now.process.kill()
            backup.wait_state('alone', timeout=TAKEOVER_S)
            now = backup
        pair.wait_reports(now, 3)
        pair.assert_no_errors()
        now.end()
        pair.assert_whole(target.path('disk'))

    def rests(self, pair):
        """(held, unfinished) when they have long been the same."""
        seen = []

        def look():
            now = pair.primary.query()['disks']
            seen.append((now['held-writes'], now['unfinished']))
            return len(seen) > LOOKS and len(set(seen[-LOOKS:])) == 1
        wait_for(look, 60, 'that nothing goes on', pair.primary.process,
                 interval=0.05)
        return seen[-1]

    def test_write_waits_until_the_read_is_executed(self):
        """By the backup, which has received all of it long before."""
        for own in (True, False):
            target = self.lun()
            pair = self.enterContext(SharedPair(
                place=target.uri('disk'), drive=',cache=none',
                ft=',reads=own' if own else ''))
            pair.start_primary()
            with self.subTest(own=own), Sleeper(pair) as backup:
                pair.wait_reports(pair.primary, 2)
                backup.awake = False
                held, unfinished = self.rests(pair)
                if own:
                    self.assertGreater(held, 0)
                    self.assertEqual(held, unfinished)
                else:
                    self.assertEqual(held, 0)
                backup.awake = True
                pair.wait_reports(pair.primary,
                                  len(reports(pair.primary)) + 2)
                pair.assert_no_errors()

    def make_unreadable(self, how):
        """A pair whose backup can't read the shared disk."""
        target = self.lun()
        pair = self.enterContext(SharedPair(
            place=f'blkdebug:fail.conf:{target.uri("disk")}',
            drive=',cache=none', ft=',reads=own,disks=shared'))
        for node, text in (('a', ''), ('b', how)):
            with open(os.path.join(pair.directory, node, 'fail.conf'), 'w',
                      encoding='ascii') as file:
                file.write(text)
        pair.protect()
        return target, pair

    def test_backup_can_not_read_at_once(self):
        target, pair = self.make_unreadable(FAILS_ONCE)
        pair.wait_reports(pair.primary, 3)
        assert_equal_digest(pair.primary, pair.backup, 60)
        self.assertIn("can't read the shared disk",
                      pair.backup.process.errors())
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        pair.wait_reports(pair.backup, 3)
        pair.assert_no_errors()
        pair.backup.end()
        pair.assert_whole(target.path('disk'))

    def test_backup_can_not_read(self):
        """It stops and says why; its primary goes on."""
        target, pair = self.make_unreadable(READ_FAILS)
        self.assertEqual(pair.backup.process.wait(STUCK_S), FAILED)
        self.assertIn("can't read the shared disk",
                      pair.backup.process.errors())
        pair.primary.wait_state('alone', timeout=TAKEOVER_S)
        pair.wait_reports(pair.primary, len(reports(pair.primary)) + 3)
        pair.assert_no_errors()
        pair.primary.end()
        pair.assert_whole(target.path('disk'))

    def test_goes_on_without_its_backup(self):
        pair = self.pair(self.lun(), 'disk-race')
        pair.protect()
        wait_for(lambda: rounds(pair.primary) > 20, 60, 'rounds',
                 pair.primary.process)
        pair.backup.process.kill()
        pair.primary.wait_state('alone', timeout=TAKEOVER_S)
        seen = rounds(pair.primary)
        wait_for(lambda: rounds(pair.primary) > seen + 20, 60,
                 'that nothing waits for a backup that is gone',
                 pair.primary.process)

    def test_cache_is_refused(self):
        with SharedPair(ft=',reads=own') as pair:
            pair.start_primary()
            self.assertEqual(pair.primary.process.wait(30), 1)
            self.assertIn('cache=none', pair.primary.process.errors())


if __name__ == '__main__':
    unittest.main()
