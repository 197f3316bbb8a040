#!/usr/bin/python3
"""Which monitor commands a protected machine takes, and that looking at it
changes nothing.

What is not on the list below is refused: a command nobody thought about must
not change one machine of a pair behind the other's back.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

# Looks only, changes what is outside the guest, or reaches the log.
HARMLESS = {
    'add-fd', 'closefd', 'device-list-properties', 'ft-failover', 'ft-stop',
    'getfd', 'human-monitor-command',
    'migrate-continue', 'migrate-incoming', 'migrate-set-capabilities',
    'migrate-set-parameters', 'migrate_cancel',
    'qmp_capabilities', 'qom-get', 'qom-list', 'qom-list-properties',
    'qom-list-types', 'quit', 'remove-fd', 'ringbuf-read',
    'trace-event-get-state', 'trace-event-set-state', 'x-ft-digest', 'yank',
    'ft-digest-interval', 'ft-protect', 'screendump', 'set_password',
    'expire_password', 'change-vnc-password',
}
# Reach the backup through the log.
ON_PRIMARY = {'chardev-send-break', 'inject-nmi', 'set_link', 'cont',
              'input-send-event', 'ringbuf-write', 'send-key',
              'stop', 'system_powerdown', 'system_reset'}

LOOKS = [
    'info registers', 'info lapic', 'info pic', 'info irq', 'info mtree',
    'info qtree', 'info qom-tree', 'info block -v', 'info blockstats',
    'info chardev', 'info network', 'info jit', 'info roms', 'info status',
    'info replay', 'info ramblock', 'info tlb', 'info mem', 'info cpus',
    'info migrate', 'info snapshots', 'info ft', 'print $pc',
    'gpa2hva 0x100000',
]
DANGEROUS = [
    'boot_set c', 'calc_dirty_rate 1', 'commit all', 'drive_add 0 if=none',
    'drive_del d0', 'qemu-io d0 "read 0 512"',
    'snapshot_blkdev d0 x', 'snapshot_blkdev_internal d0 x',
    'watchdog_action reset',
    # a device may be there: with this one a VGA's latch would change
    'xp /1xb 0xb8000', 'x /4x 0xa0000', 'sum 0xa0000 16',
    'memsave 0xa0000 16 x', 'pmemsave 0xa0000 16 x',
]


class Commands(unittest.TestCase):
    def test_only_known_ones(self):
        with RomPair('counter') as pair:
            pair.protect()
            for machine, good in ((pair.primary, HARMLESS | ON_PRIMARY),
                                  (pair.backup, HARMLESS)):
                offered = {command['name'] for command in
                           machine.qmp.command('query-commands')
                           if not command['name'].startswith(
                               ('query-', 'x-query-'))}
                self.assertEqual(offered - good, set(),
                                 f'offered by {machine.process.name}')

    def test_looking_changes_nothing(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                for line in LOOKS:
                    with self.subTest(line, side=machine.node):
                        machine.qmp.hmp(line)
                for name in ('query-block', 'query-blockstats',
                             'query-named-block-nodes', 'query-chardev',
                             'query-cpus-fast', 'query-status', 'query-pci',
                             'query-replay', 'query-rx-filter'):
                    machine.qmp.command(name)
                assert_equal_digest(pair.primary, pair.backup)
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')
            self.assertNotIn('ERROR', rom.text(pair.primary))

    def test_dangerous_ones_are_refused(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                for line in DANGEROUS:
                    with self.subTest(line, side=machine.node):
                        self.assertIn(f'{line.split()[0]}: ',
                                      machine.qmp.hmp(line))
                for name, arguments in (
                        ('calc-dirty-rate', {'calc_time': 1}),
                        ('blockdev-add', {'driver': 'null-co',
                                          'node_name': 'x'}),
                        ('dump-guest-memory', {
                            'paging': False, 'protocol': 'file:/dev/null'})):
                    with self.subTest(name, side=machine.node):
                        with self.assertRaises(QmpError):
                            machine.qmp.command(name, **arguments)
                assert_equal_digest(pair.primary, pair.backup)

    def test_keys_reach_both(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 30)
            self.assertEqual(pair.primary.qmp.hmp('sendkey a'), '')
            pair.primary.qmp.command('send-key', keys=[
                {'type': 'qcode', 'data': 'b'}])
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            assert_equal_digest(pair.primary, pair.backup)


if __name__ == '__main__':
    unittest.main()
