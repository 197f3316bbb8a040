#!/usr/bin/python3
"""A guest on a disk that both machines share (M21).

disk.rom keeps eight requests in flight and reads back what it wrote.  The
backup neither reads nor writes until it has won: what was read comes with
the log, and requests that began and did not end are done again then.

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
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect  # noqa: E402
from ftlib.shared import LunPair, SharedPair, reports  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

TAKEOVER_S = 30
FAILED, LOST = 3, 4


def disks(machine):
    return machine.query()['disks']


class SharedDisk(unittest.TestCase):
    def test_primary_killed_under_load(self):
        for count in (3, 5):
            with self.subTest(count=count), SharedPair() as pair:
                pair.protect()
                pair.wait_reports(pair.primary, count)
                self.assertEqual(
                    (disks(pair.primary)['active'],
                     disks(pair.backup)['active']), (True, False))
                pair.primary.process.kill()
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                self.assertTrue(disks(pair.backup)['active'])
                last = reports(pair.primary)[-1]
                pair.wait_reports(pair.backup, 4, last[1] + 1)
                pair.assert_no_errors()
                pair.backup.end()
                pair.assert_whole()

    def test_backup_killed_under_load(self):
        with SharedPair() as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            pair.wait_reports(pair.primary, len(reports(pair.primary)) + 3)
            self.assertEqual(disks(pair.primary)['held-writes'], 0)
            pair.assert_no_errors()
            pair.primary.end()
            pair.assert_whole()

    def test_both_are_the_same_machine(self):
        """And the log has all that an execution without the disk needs."""
        with SharedPair() as pair:
            pair.protect()
            for count in range(3, 9):
                pair.wait_reports(pair.primary, count)
                assert_equal_digest(pair.primary, pair.backup, 60)
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.process.wait(30), 0,
                                 machine.process.errors())
            pair.assert_no_errors()
            pair.assert_whole()
            empty = os.path.join(pair.directory, 'empty.raw')
            with open(empty, 'wb') as file:
                file.truncate(rom.DISK_MB << 20)
            for node in 'ab':
                log = os.path.join(pair.directory, node, pair.log)
                replay = pair.start_replay_of(log, empty, f'replay-{node}')
                self.assertEqual(replay.process.wait(120), 0,
                                 replay.process.errors())
                said = re.search(r'(\d+) digests equal',
                                 replay.process.errors())
                self.assertGreaterEqual(int(said[1]), 6)
            printed = subprocess.run(
                [paths.ft_log(), 'print', log], text=True,
                capture_output=True, check=True).stdout
            self.assertIn('DISK_DATA, request', printed)
            with open(empty, 'rb') as file:
                self.assertFalse(any(file.read()))

    def test_paused_takeover(self):
        with SharedPair() as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            pair.primary.qmp.command('stop')
            wait_for(lambda: pair.backup.qmp.command('query-status')[
                'status'] == 'paused', 20, '"paused"', pair.backup.process)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.qmp.command('cont')
            pair.wait_reports(pair.backup, 4)
            pair.assert_no_errors()
            pair.backup.end()
            pair.assert_whole()

    def test_running_guest_gets_a_backup(self):
        """Without a copy of its disk, twice."""
        with SharedPair() as pair:
            begin_alone(pair)
            now = pair.primary
            for name in ('b', 'c'):
                pair.wait_reports(now, 3)
                backup = protect(pair, 'unix', now, name)
                self.assertFalse(disks(backup)['active'])
                for _ in range(2):
                    pair.wait_reports(now, len(reports(now)) + 1)
                    assert_equal_digest(now, backup, 60)
                now.process.kill()
                backup.wait_state('alone', timeout=TAKEOVER_S)
                now = backup
            pair.wait_reports(now, 3)
            pair.assert_no_errors()
            now.end()
            pair.assert_whole()

    def test_cold_start_by_either(self):
        with SharedPair() as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            for machine in (pair.primary, pair.backup):
                machine.process.signal(signal.SIGSTOP)
            for machine in (pair.primary, pair.backup):
                machine.process.kill()
                machine.process.wait(20)
            written = pair.assert_whole().written()
            for name in ('b', 'b', 'a'):
                machine = pair.start_other_primary(name)
                if name == 'a':             # b ran alone since
                    self.assertEqual(machine.process.wait(30), 5)
                    continue
                machine.wait_state('connecting')
                self.assertFalse(disks(machine)['active'])
                machine.qmp.command('ft-stop')
                machine.wait_state('alone')
                pair.wait_reports(machine, 3)
                machine.end()
            pair.assert_no_errors()
            self.assertGreaterEqual(pair.assert_whole().written(), written)

    def test_stopped_primary_keeps_the_lock(self):
        """A file has no fence but its lock, and a backup waits for that."""
        with SharedPair() as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 3)
            pair.primary.process.signal(signal.SIGSTOP)
            pair.backup.wait_state('draining', timeout=TAKEOVER_S)
            wait_for(lambda: 'lock' in disks(pair.backup).get('text', ''), 20,
                     'that the backup says what it waits for',
                     pair.backup.process)
            pair.primary.process.signal(signal.SIGCONT)
            self.assertEqual(pair.primary.process.wait(30), LOST)
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertNotIn('text', disks(pair.backup))
            pair.wait_reports(pair.backup, 3)
            pair.assert_no_errors()
            pair.backup.end()
            pair.assert_whole()

    def test_backup_ends_with_reads_under_way(self):
        """No log says any more how they end; that is no fault of the log."""
        luns = {'lease': MIB, 'disk': rom.DISK_MB * MIB}
        for _ in range(4):          # so that one of them has a read
            with Tgt(luns) as target, LunPair(target, target) as pair:
                pair.protect()
                pair.wait_reports(pair.primary, 2)
                pair.backup.process.signal(signal.SIGTERM)
                self.assertEqual(pair.backup.process.wait(30), 0,
                                 pair.backup.process.errors())

    @staticmethod
    def wait_difference(pair):
        """What the primary says of it, which tries again and again."""
        def look():
            status = pair.primary.query()
            return status['reason'] == 'peer-differs' and status['text']
        return wait_for(look, 30, 'that they see the difference',
                        pair.primary.process)

    def test_sides_that_disagree(self):
        with SharedPair() as pair:
            pair.start_backup()
            os.link(pair.disk_path, pair.disk_path + '2')
            pair.options[:] = [word.replace('shared.raw', 'shared.raw2')
                               for word in pair.options]
            pair.start_primary()
            self.assertRegex(self.wait_difference(pair),
                             r'disk\.\S+\.place: primary \S+raw2, backup '
                             r'\S+raw')

    def test_own_disks_that_are_one(self):
        """Found by the image's lock, or else by the two."""
        for lock in ('on', 'off'):
            with self.subTest(lock=lock), SharedPair(
                    disks='own', drive=f',file.locking={lock}') as pair:
                pair.start_primary()
                pair.primary.wait_state('connecting')
                pair.start_backup()
                if lock == 'on':
                    self.assertEqual(pair.backup.process.wait(30), 1)
                    said = pair.backup.process.errors()
                else:
                    said = self.wait_difference(pair)
                self.assertIn('add disks=shared to -ft on both', said)


if __name__ == '__main__':
    unittest.main()
