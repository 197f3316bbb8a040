#!/usr/bin/python3
"""Disks of their own, and a lease that is anywhere: who goes on, and whose
copy is valid when the VM is switched on again.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'roms'))

from disk_image import DiskImage  # noqa: E402
from ftlib import rom  # noqa: E402
from ftlib.protect import protect_by_copy  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

SYNC_S = 60
NOT_ELIGIBLE = 5


class Common:
    """lives(): a pair; its survivor gets a new backup; all end; cold starts."""

    def start_again(self, pair, name):
        """As a primary in its own directory, with the disk that is there."""
        pair.listen_port = pair.peer_port = 1
        return pair.start_machine(
            name, f'primary,peer=127.0.0.1:1,lease={pair.lease_uri},'
            f'node={name}')

    def refused(self, pair, name, text):
        machine = self.start_again(pair, name)
        self.assertEqual(machine.process.wait(60), NOT_ELIGIBLE)
        self.assertRegex(machine.process.errors(), text)

    def lives(self, pair):
        pair.protect()
        rom.writes_on(pair.primary)
        self.assertEqual(pair.primary.query()['disks']['shared'], False)
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=SYNC_S)
        rom.writes_on(pair.backup)
        backup = protect_by_copy(pair, pair.backup, 'c')
        for machine in (pair.backup, backup):
            machine.wait_state('protected', timeout=SYNC_S)
        rom.writes_on(pair.backup)
        for machine in (pair.backup, backup):
            machine.process.kill()
            machine.process.wait(20)
        # "a" lost the lease long ago: its disk is old.
        self.refused(pair, 'a', 'ran this VM last.*disks may be\\s+old')
        # The owner and its partner are in the record; one of them starts.
        again = self.start_again(pair, 'c')
        again.wait_state('connecting', timeout=SYNC_S)
        again.qmp.command('ft-stop')
        again.wait_state('alone')
        rom.writes_on(again)
        again.end()
        image = DiskImage(os.path.join(again.directory, 'disk.raw'))
        self.assertEqual(image.bad, {})
        self.assertGreater(image.written(), 0)
        # It is the owner now, alone.
        self.refused(pair, 'b', re.escape('"c" ran this VM last'))


class Directory(Common, unittest.TestCase):
    def test_whole_life(self):
        with RomPair('disk', disk=True) as pair:
            self.lives(pair)


class Lun(Common, unittest.TestCase):
    def test_whole_life(self):
        with Tgt({'lease': MIB}) as target, \
                RomPair('disk', disk=True) as pair:
            pair.lease_uri = target.uri('lease')
            self.lives(pair)


if __name__ == '__main__':
    unittest.main()
