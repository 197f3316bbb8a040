#!/usr/bin/python3
"""Each device that "-ft help" lists, at work in a pair.

The rows are ft/device-list.h's; a row without a test here fails.  A guest
works the devices (tests/guest/work); meanwhile both machines' digests are
compared, the primary is killed, and the guest has to go on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import paths  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import SerialLine  # noqa: E402
from ftlib.work import WorkPair, turns  # noqa: E402

TURN_S = 120
TAKEOVER_S = 30
DIGESTS = 3

# Rows of the list that a test shows exact, by the test's name.
SHOWN = {
    'test_board': ['pc', 'rtc', 'ps2', 'pcspk', 'parallel', 'floppy', 'vga',
                   'serial'],
    'test_ide': ['ide-hd', 'ide-cd'],
    'test_virtio': ['virtio-blk', 'virtio-net', 'virtio-rng'],
    'test_virtio_scsi': ['virtio-scsi'],
    'test_virtio_serial': ['virtio-serial'],
}


def listed():
    """The names of the rows of ft/device-list.h."""
    path = os.path.join(paths.ROOT, 'ft', 'device-list.h')
    with open(path, encoding='ascii') as file:
        return re.findall(r'^    \{ "([^"]+)", "', file.read(), re.M)


def disk(interface, file):
    return ['-drive', f'if={interface},format=raw,file={file}']


def scsi(kind, file):
    name = file.split('.', maxsplit=1)[0]
    return ['-drive', f'if=none,id={name},format=raw,file={file}'
            + (',media=cdrom,readonly=on' if kind == 'cd' else ''),
            '-device', f'scsi-{kind},drive={name}']


def port(device, name):
    return ['-chardev', f'socket,id={name},path={name},server=on,wait=off',
            '-device', f'{device},chardev={name}']


class Line(SerialLine):
    """The other end of one of a machine's ports."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


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
        self.assert_exact(['virtio_rng'], ['vda', 'rng'], [
            '-device', 'virtio-rng-pci',
            '-nodefaults', *disk('virtio', 'disk.raw'),
            '-nic', 'user,model=virtio-net-pci'])


    def test_virtio_scsi(self):
        self.assert_exact(['virtio_scsi', 'sd_mod', 'sr_mod'],
                          ['sda', 'sdb', 'sr0'], [
                              '-nodefaults', '-device', 'virtio-scsi-pci',
                              *scsi('hd', 'disk.raw'),
                              *scsi('hd', 'second.raw'),
                              *scsi('cd', 'cd.iso')])

    def test_virtio_serial(self):
        """A port and a console; the other ends come and go."""
        work = ['vport0p1', 'hvc0']
        with WorkPair(['virtio_console'], work, [
                '-nodefaults', '-device', 'virtio-serial-pci',
                *port('virtserialport,nr=1', 'port'),
                *port('virtconsole,nr=2', 'console')]) as pair:
            pair.protect()
            for number in range(DIGESTS):
                self.assert_answers(pair.primary, number)
                self.assert_equal_digest(pair)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assert_answers(pair.backup, DIGESTS)
            self.assertNotIn('ERROR', pair.backup.serial())

    def assert_answers(self, machine, number):
        for name in ('port', 'console'):
            with Line(machine, name) as line:
                for word in ('one', 'two', 'three'):
                    line.send(f'{word}-{number}\n')
                    line.wait(f'{word}-{number}'.upper())


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
