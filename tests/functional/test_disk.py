#!/usr/bin/python3
"""A guest that writes and reads its disk, each machine with its own copy.

disk.rom keeps eight requests in flight and reads back what it wrote; it
prints what it found.  A sector holds its own address, a sequence number and
a checksum, so an image can be checked afterwards (tests/roms/disk_image.py).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'roms'))

from disk_image import DiskImage  # noqa: E402
from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.shared import reports  # noqa: E402

TAKEOVER_S = 30
NOT_ELIGIBLE = 5


def image(pair, node):
    return DiskImage(os.path.join(pair.directory, node, 'disk.raw'))


class Disk(unittest.TestCase):
    def wait_reports(self, machine, count, verified=1):
        def look():
            seen = reports(machine)
            return len(seen) >= count and seen[-1][1] >= verified
        wait_for(look, 30, f'{count} reports of the guest in '
                 f'{machine.process.name}', machine.process)

    def assert_no_errors(self, machine):
        self.assertNotIn('ERROR', rom.text(machine))
        self.assertNotIn('PANIC', rom.text(machine))
        for _, _, errors in reports(machine):
            self.assertEqual(errors, 0)

    def assert_whole(self, pair, node):
        disk = image(pair, node)
        self.assertEqual(disk.bad, {})
        self.assertGreater(disk.written(), 0)
        return disk

    def test_primary_killed_under_load(self):
        for count in (3, 5, 8):
            with self.subTest(count=count), \
                    RomPair('disk', disk=True) as pair:
                pair.protect()
                self.wait_reports(pair.primary, count)
                pair.primary.process.kill()
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                last = reports(pair.primary)[-1]
                self.wait_reports(pair.backup, 4, last[1] + 1)
                for machine in (pair.primary, pair.backup):
                    self.assert_no_errors(machine)
                # The counts go on and not back; the last may come twice.
                old, new = (reports(machine) for machine in (pair.primary,
                                                             pair.backup))
                again = next(n for n in range(len(old), -1, -1)
                             if old[len(old) - n:] == new[:n])
                both = old + new[again:]
                self.assertEqual(both, sorted(both))
                pair.backup.end()
                self.assert_whole(pair, 'b')

    def test_backup_killed_under_load(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            self.wait_reports(pair.primary, 3)
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_reports(pair.primary, len(reports(pair.primary)) + 3)
            self.assert_no_errors(pair.primary)
            pair.primary.end()
            self.assert_whole(pair, 'a')

    def test_disks_are_the_same_at_a_pause(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            for count in (3, 6):
                self.wait_reports(pair.primary, count)
                pair.primary.qmp.command('stop')
                pair.primary.qmp.command('x-ft-digest')
                event = pair.backup.qmp.wait_event('FT_DIGEST')
                self.assertTrue(event['data']['equal'])
                # Requests of the backup that are under way get done.
                wait_for(lambda: self.same_disks(pair), 30,
                         'that both disks hold the same')
                pair.primary.qmp.command('cont')
            self.assert_no_errors(pair.primary)

    @staticmethod
    def same_disks(pair):
        contents = []
        for node in ('a', 'b'):
            with open(os.path.join(pair.directory, node, 'disk.raw'),
                      'rb') as file:
                contents.append(file.read())
        return contents[0] == contents[1] and any(contents[0])

    def test_orderly_end_leaves_equal_disks(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            self.wait_reports(pair.primary, 3)
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.process.wait(30), 0,
                                 machine.process.errors())
            self.assertTrue(self.same_disks(pair))
            self.assert_whole(pair, 'a')

    def test_paused_takeover(self):
        """Requests in flight at the pause are finished after it."""
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            self.wait_reports(pair.primary, 3)
            pair.primary.qmp.command('stop')
            wait_for(lambda: pair.backup.qmp.command('query-status')[
                'status'] == 'paused', 30, '"paused"', pair.backup.process)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.qmp.command('cont')
            self.wait_reports(pair.backup, 4)
            self.assert_no_errors(pair.backup)
            pair.backup.end()
            self.assert_whole(pair, 'b')

    def test_cold_start_of_the_winner(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            self.wait_reports(pair.primary, 3)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_reports(pair.backup, 3)
            pair.backup.end()
            written = self.assert_whole(pair, 'b').written()
            old = pair.start_other_primary('a')
            self.assertEqual(old.process.wait(30), NOT_ELIGIBLE)
            self.assertIn('"b" ran this VM last', old.process.errors())
            winner = pair.start_other_primary('b')
            winner.wait_state('connecting')
            winner.qmp.command('ft-stop')
            winner.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_reports(winner, 3)
            self.assert_no_errors(winner)
            winner.end()
            self.assertGreaterEqual(
                self.assert_whole(pair, 'b').written(), written)

    def test_backup_whose_disk_fails(self):
        """M25: what only one side's disk says never reaches the guest."""
        with RomPair('disk', disk=True) as pair:
            pair.prepare_disks()
            words = [word.replace('file=disk.raw',
                                  'file=blkdebug:fail.conf:disk.raw')
                     for word in pair.options]
            with open(os.path.join(pair.directory, 'b', 'fail.conf'), 'w',
                      encoding='ascii') as file:
                # Reads at the start compare the disks, so writes fail.
                file.write('[inject-error]\nevent = "pwritev"\n'
                           'iotype = "write"\nerrno = "5"\n')
            pair.backup = pair.start_other_backup('b', pair.listen_port,
                                                  words)
            pair.start_primary()
            self.assertEqual(pair.backup.process.wait(30), 3,
                             pair.backup.process.errors())
            self.assertIn('disk', pair.backup.process.errors())
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_reports(pair.primary, 3)
            self.assert_no_errors(pair.primary)


if __name__ == '__main__':
    unittest.main()
