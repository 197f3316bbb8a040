#!/usr/bin/python3
"""A running machine's state: sent while it records, loaded by a backup.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect, wait_migration  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

ALONE = 'when it runs alone'


def migrate(machine, uri):
    machine.qmp.command('migrate', uri=uri)
    return wait_migration(machine, 'completed', 'failed', 'cancelled')


class TestState(unittest.TestCase):

    def test_file_and_on(self):
        """The guest stops for its state and goes on where it was."""
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 20)
            for cycle in range(3):
                self.assertEqual(
                    migrate(pair.primary, 'file:state')['status'],
                    'completed')
                stopped = rom.last_count(pair.primary)
                pair.primary.qmp.command('cont')
                rom.wait_count(pair.primary, stopped + 20)
            rom.check_counter(rom.text(pair.primary))

    def test_failed(self):
        """Nobody takes the state: the guest goes on by itself."""
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 20)
            self.assertEqual(
                migrate(pair.primary, 'unix:nobody')['status'], 'failed')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 20)

    def test_nobody_takes_it(self):
        """ft-protect that fails is told, and the guest goes on."""
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 20)
            pair.primary.qmp.command('ft-protect', peer='127.0.0.1:1',
                                     state='unix:nobody')
            wait_for(lambda: pair.primary.query()['reason'] ==
                     'protect-failed', 20, 'the reason', pair.primary.process)
            status = pair.primary.query()
            self.assertEqual(status['state'], 'alone')
            self.assertIn('nobody', status['text'])
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 20)

    def test_protected(self):
        with RomPair('counter') as pair:
            pair.protect()
            self.assert_stays(pair.primary, pair.backup)

    def assert_stays(self, *machines):
        for machine in machines:
            with self.assertRaisesRegex(QmpError, ALONE):
                machine.qmp.command('migrate', uri='file:state')
            self.assertIn(ALONE, machine.qmp.hmp('migrate file:state'))

    def test_protected_again(self):
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 20)
            backup = protect(pair, 'unix')
            self.assert_stays(pair.primary, backup)
            pair.primary.qmp.command('ft-stop')
            pair.primary.wait_state('alone')
            self.assertEqual(
                migrate(pair.primary, 'file:state')['status'], 'completed')

    def test_postcopy_is_refused(self):
        with RomPair('counter') as pair:
            begin_alone(pair)
            pair.primary.qmp.command(
                'migrate-set-capabilities',
                capabilities=[{'capability': 'postcopy-ram', 'state': True}])
            status = migrate(pair.primary, 'file:state')
            self.assertEqual(status['status'], 'failed')
            self.assertIn('precopy', status['error-desc'])
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 20)

    def test_a_primary_has_no_incoming(self):
        done = subprocess.run(
            [paths.qemu(), '-M', 'pc', '-nodefaults', '-display', 'none',
             '-ft', 'primary,peer=127.0.0.1:1,lease=dir:x', '-incoming',
             'defer'], text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=40)
        self.assertEqual(done.returncode, 1)
        self.assertIn('-incoming is for the backup', done.stderr)


if __name__ == '__main__':
    unittest.main()
