#!/usr/bin/python3
"""Each device that "-ft help" lists, at work in a pair.

The rows are ft/device-list.h's; a row without a test here fails.  A guest
works the devices (tests/guest/work); meanwhile both machines' digests are
compared, the primary is killed, and the guest has to go on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import guest, paths  # noqa: E402
from ftlib.pair import Pair  # noqa: E402
from ftlib.process import wait_for  # noqa: E402

BOOT_S = 180
TURN_S = 120
TAKEOVER_S = 30
DISK_MB = 16
CD_MB = 1
DIGESTS = 3

# Rows of the list that a test shows exact, by the test's name.
SHOWN = {
    'test_board': ['pc', 'rtc', 'ps2', 'pcspk', 'parallel', 'floppy', 'vga',
                   'serial'],
    'test_ide': ['ide-hd', 'ide-cd'],
    'test_virtio': ['virtio-blk', 'virtio-net'],
}


def listed():
    """The names of the rows of ft/device-list.h."""
    path = os.path.join(paths.ROOT, 'ft', 'device-list.h')
    with open(path, encoding='ascii') as file:
        return re.findall(r'^    \{ "([^"]+)", "', file.read(), re.M)


class WorkPair(Pair):
    """A Linux guest that works devices: load: modules, work: names."""

    def __init__(self, load, work, extra):
        append = (f'{guest.KERNEL} ft.load={",".join(load)} ft.job=work '
                  f'ft.work={",".join(work)}')
        super().__init__(options=[
            '-display', 'none', '-machine', 'pc', '-m', '128',
            '-kernel', os.path.join(guest.image(), 'vmlinuz'),
            '-initrd', os.path.join(guest.image(), 'initramfs.cpio'),
            '-append', append, '-chardev', 'file,id=s0,path=serial.log',
            '-serial', 'chardev:s0', '-monitor', 'none', *extra])
        self.work = work

    def prepare_disks(self):
        for name, megabytes in (('disk.raw', DISK_MB),
                                ('second.raw', DISK_MB), ('cd.iso', CD_MB)):
            data = random.Random(name).randbytes(megabytes << 20)
            for node in ('a', 'b'):
                with open(os.path.join(self.directory, node, name),
                          'wb') as file:
                    file.write(data)

    def protect(self):
        self.prepare_disks()
        self.start_backup()
        self.start_primary()
        for machine in (self.primary, self.backup):
            machine.wait_state('protected')
        self.primary.wait_serial(guest.READY, BOOT_S)


def disk(interface, file):
    return ['-drive', f'if={interface},format=raw,file={file}']


def turns(machine, name):
    return len(re.findall(rf'^FT-GUEST WORK {name} \d+', machine.serial(),
                          re.M))


class Devices(unittest.TestCase):
    def assert_turns(self, machine, names, more=3, poke=None):
        """Each piece of work gets on; poke() is called meanwhile."""
        start = {name: turns(machine, name) for name in names}

        def look():
            self.assertNotIn('ERROR', machine.serial())
            if poke:
                poke(machine)
            return all(turns(machine, name) >= start[name] + more
                       for name in names)
        wait_for(look, TURN_S, f'{more} more turns of each of {start}',
                 machine.process, interval=0.1)

    def assert_equal_digest(self, pair):
        pair.primary.qmp.command('x-ft-digest', timeout=60)
        event = pair.backup.qmp.wait_event('FT_DIGEST', timeout=60)
        self.assertTrue(event['data']['equal'])

    def assert_exact(self, load, work, extra, poke=None):
        with WorkPair(load, work, extra) as pair:
            pair.protect()
            for _ in range(DIGESTS):
                self.assert_turns(pair.primary, work, poke=poke)
                self.assert_equal_digest(pair)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assert_turns(pair.backup, work, poke=poke)

    def test_board(self):
        """What a pc has without any option, worked by keys and a mouse."""
        def poke(machine):
            for key in ('a', 'b', 'ret'):
                machine.qmp.command('send-key', hold_time=20, keys=[
                    {'type': 'qcode', 'data': key}])
            machine.qmp.hmp('mouse_move 3 4')
        self.assert_exact(['serio_raw'], ['tty1', 'mouse', 'clock', 'ports'],
                          ['-nic', 'none'], poke)

    def test_ide(self):
        self.assert_exact(['ata_piix', 'sd_mod', 'sr_mod'],
                          ['sda', 'sdb', 'sr0'], [
                              '-nodefaults', *disk('ide', 'disk.raw'),
                              *disk('ide', 'second.raw'),
                              '-cdrom', 'cd.iso'])

    def test_virtio(self):
        self.assert_exact([], ['vda'], [
            '-nodefaults', *disk('virtio', 'disk.raw'),
            '-nic', 'user,model=virtio-net-pci'])


class List(unittest.TestCase):
    def test_each_row_has_a_test(self):
        shown = sorted(name for names in SHOWN.values() for name in names)
        self.assertEqual(shown, sorted(listed()))
        for name in SHOWN:
            self.assertTrue(hasattr(Devices, name), name)

    def test_help_prints_it(self):
        done = subprocess.run([paths.qemu(), '-ft', 'help'], text=True,
                              timeout=20, capture_output=True)
        names = re.findall(r'^  (\S+) +\S', done.stdout.split(
            'others are refused:\n')[1], re.M)
        self.assertEqual(names, listed())


if __name__ == '__main__':
    unittest.main()
