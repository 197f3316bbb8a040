#!/usr/bin/python3
"""The machine is reset while its disks have requests in flight (M16).

The primary's disks are slow (QEMU's throttle filter, below what is recorded),
and the guest has a request under way on each nearly all the time, so a reset
finds some: it waits for them, drops them or completes them.  The backup's are
fast, so there they are done already, and yet the guest has to see the same.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import guest, rom  # noqa: E402
from ftlib.faulty import faulty_disks  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.work import BOOT_S, WorkPair  # noqa: E402

WAIT_S = 120
TAKEOVER_S = 30
SYNC_MS = 5                     # a flush takes
RESETS = 20                     # one in three finds a flush that waits
SLOW, FAST = 30, 10000          # requests a second


def disk(name, file):
    """SLOW is put in, or FAST."""
    return ['-object', f'throttle-group,id=t{name},x-iops-total={SLOW}',
            '-drive', f'if=none,id={name},driver=throttle,'
            f'throttle-group=t{name},file.driver=file,file.filename={file}']


class ResetWithRequests(unittest.TestCase):
    def protect(self, pair):
        pair.prepare_disks()
        slow = list(pair.options)
        pair.options[:] = [word.replace(f'total={SLOW}', f'total={FAST}')
                           for word in slow]
        self.assertNotEqual(slow, pair.options)
        pair.start_backup()
        pair.options[:] = slow
        pair.start_primary()
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')

    def reset(self, pair):
        pair.primary.qmp.command('system_reset', 60)
        for machine in (pair.primary, pair.backup):
            machine.qmp.wait_event('RESET', timeout=60)
        assert_equal_digest(pair.primary, pair.backup, 60)

    def wait_work(self, machine, names, boots):
        """Each disk is at work since the last of so many boots."""
        def look():
            text = machine.serial()
            self.assertNotIn('ERROR', text)
            said = guest.said_since_boot(text, boots)
            return all(f'WORK {name} 1 ' in said for name in names)
        wait_for(look, BOOT_S + WAIT_S, f'work on {names} after boot {boots}',
                 machine.process, interval=0.1)

    def linux(self, load, names, extra):
        with WorkPair(load, names, ['-nodefaults', *extra]) as pair:
            self.protect(pair)
            for boot in (1, 2):
                self.wait_work(pair.primary, names, boot)
                self.reset(pair)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_work(pair.backup, names, 1)

    def test_ide(self):
        self.linux(['ata_piix', 'sd_mod', 'sr_mod'], ['sda', 'sdb', 'sr0'], [
            *disk('d0', 'disk.raw'), '-device', 'ide-hd,bus=ide.0,drive=d0',
            *disk('d1', 'second.raw'), '-device', 'ide-hd,bus=ide.0,drive=d1',
            *disk('d2', 'cd.iso'), '-device', 'ide-cd,bus=ide.1,drive=d2'])

    def test_trim(self):
        """Its device waits for more than the disk's requests."""
        words = disk('d0', 'disk.raw')
        words[-1] += ',discard=unmap'
        self.linux(['ata_piix', 'sd_mod', 'sr_mod'], ['trim-sda'],
                   [*words, '-device', 'ide-hd,bus=ide.0,drive=d0'])

    def test_scsi(self):
        self.linux(['virtio_scsi', 'sd_mod', 'sr_mod'],
                   ['sda', 'sdb', 'sr0'], [
                       '-device', 'virtio-scsi-pci',
                       *disk('d0', 'disk.raw'), '-device', 'scsi-hd,drive=d0',
                       *disk('d1', 'second.raw'),
                       '-device', 'scsi-hd,drive=d1',
                       *disk('d2', 'cd.iso'), '-device', 'scsi-cd,drive=d2'])

    def test_flushes(self):
        """One that waited for another begins when that completes."""
        with RomPair('disk', disk=True) as pair:
            faults, environment = faulty_disks(pair.directory)
            faults.sync_ms = SYNC_MS
            prefix = ['env', *(f'{name}={value}' for name, value
                               in environment.items())]
            pair.prepare_disks()
            pair.start_backup(prefix=prefix)
            pair.start_primary(prefix=prefix)
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')
            for _ in range(RESETS):
                rom.writes_on(pair.primary)
                self.reset(pair)
            self.assertNotIn('ERROR', rom.text(pair.primary))

    def test_virtio(self):
        """roms/disk.c has eight requests in flight."""
        with RomPair('disk', disk=True) as pair:
            at = pair.options.index('-drive')
            pair.options[at:at + 2] = disk('d0', 'disk.raw')
            self.protect(pair)
            for boot in range(1, 5):
                wait_for(lambda n=boot: rom.text(pair.primary).count(
                    'disk capacity') == n and re.search(
                        r'verified=[1-9]', rom.text(pair.primary).split(
                            'disk capacity')[-1]), WAIT_S,
                    f'work after boot {boot}', pair.primary.process)
                self.assertNotIn('ERROR', rom.text(pair.primary))
                self.reset(pair)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            wait_for(lambda: 'verified=' in rom.text(pair.backup), WAIT_S,
                     'work after the takeover', pair.backup.process)
            self.assertNotIn('ERROR', rom.text(pair.backup))


if __name__ == '__main__':
    unittest.main()
