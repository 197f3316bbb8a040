#!/usr/bin/python3
"""The primary's disk fails: both stop there, and "cont" tries again on both.

The backup's own disk is sound; what the primary's said counts (M25).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib.process import wait_for  # noqa: E402
from ftlib.work import WorkPair, turns  # noqa: E402

STOP_S = 60
TURN_S = 120
TAKEOVER_S = 30
FAIL_ONCE = '''[inject-error]
event = "pwritev"
iotype = "write"
errno = "5"
once = "on"
'''
DISK = 'format=raw,werror=stop,file=blkdebug:fail.conf:disk.raw'


class FailPair(WorkPair):
    def prepare_disks(self):
        super().prepare_disks()
        for node, text in (('a', FAIL_ONCE), ('b', '')):
            with open(os.path.join(self.directory, node, 'fail.conf'), 'w',
                      encoding='ascii') as file:
                file.write(text)


def wait_run_state(machine, state):
    wait_for(lambda: machine.qmp.command('query-status')['status'] == state,
             STOP_S, f'{state} of {machine.process.name}', machine.process)


class Errors(unittest.TestCase):
    def assert_turns(self, machine, name, more=3):
        start = turns(machine, name)
        wait_for(lambda: turns(machine, name) >= start + more, TURN_S,
                 f'{more} turns of {name} after {start}', machine.process)
        self.assertNotIn('ERROR', machine.serial())

    def assert_retried(self, load, name, extra):
        with FailPair(load, [name], ['-nodefaults', *extra]) as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                wait_run_state(machine, 'io-error')
            self.assertEqual(turns(pair.primary, name), 0)
            pair.primary.qmp.command('cont')
            self.assert_turns(pair.primary, name)
            pair.primary.qmp.command('x-ft-digest', timeout=60)
            event = pair.backup.qmp.wait_event('FT_DIGEST', timeout=60)
            self.assertTrue(event['data']['equal'])
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assert_turns(pair.backup, name)

    def test_virtio_blk(self):
        self.assert_retried([], 'vda', ['-drive', f'if=virtio,{DISK}'])

    def test_ide(self):
        self.assert_retried(['ata_piix', 'sd_mod'], 'sda',
                            ['-drive', f'if=ide,{DISK}'])

    def test_scsi(self):
        self.assert_retried(['virtio_scsi', 'sd_mod'], 'sda', [
            '-device', 'virtio-scsi-pci', '-drive', f'if=none,id=d,{DISK}',
            '-device', 'scsi-hd,drive=d'])


if __name__ == '__main__':
    unittest.main()
