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
import threading
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import paths  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import MAC_BYTES, EchoPair, SerialLine, net, text  # noqa: E402
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
    'test_e1000': ['e1000'],
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

    def assert_exact(self, load, work, extra, poke=None):
        with WorkPair(load, work, extra) as pair:
            pair.protect()
            for _ in range(DIGESTS):
                self.assert_turns(pair.primary, work, poke=poke)
                assert_equal_digest(pair.primary, pair.backup, 60)
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
                assert_equal_digest(pair.primary, pair.backup, 60)
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


    def reach(self, pair, node):
        """Packets may be lost while the card has no buffers; not for long."""
        def look():
            pair.send(net.udp(MAC_BYTES, 7, b'anybody?'), node)
            return any(b'anybody?' in frame for frame in pair.heard(node))
        wait_for(look, TURN_S, 'an answer', interval=0.2)
        pair.echo(b'last of these', node)

    def assert_echoes(self, pair, node):
        """Several packets at a time, so that some share an interrupt."""
        self.reach(pair, node)
        for burst in range(5):
            sent = [b'burst %d packet %d' % (burst, i) for i in range(5)]
            for data in sent:
                pair.send(net.udp(MAC_BYTES, 7, data), node)
            self.assertEqual([pair.wait_udp(node, 7) for _ in sent], sent)

    def set_link(self, machine, up, changes):
        """Pulls the cable or puts it in; the guest says so."""
        machine.qmp.command('set_link', name='n0', up=up)
        line = f'echo link={"up" if up else "down"}'
        wait_for(lambda: text(machine).count(line) == changes, TURN_S,
                 f'{line} for the {changes}. time', machine.process)

    def test_e1000(self):
        """roms/echo-e1000.c uses all its timers; packets never pause."""
        with EchoPair('echo-e1000', 'e1000') as pair, Flood(pair) as flood:
            pair.protect()
            wait_for(lambda: 'echo link=up' in text(pair.primary), TURN_S,
                     'that the link is up', pair.primary.process)
            self.assert_echoes(pair, 'a')
            for number in range(DIGESTS):
                assert_equal_digest(pair.primary, pair.backup, 60)
                self.set_link(pair.primary, False, 1 + number)
                assert_equal_digest(pair.primary, pair.backup, 60)
                self.set_link(pair.primary, True, 2 + number)
                self.assert_echoes(pair, 'a')
                assert_equal_digest(pair.primary, pair.backup, 60)
            echoed = pair.count('a')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            flood.node = 'b'
            self.assert_echoes(pair, 'b')
            self.assertGreaterEqual(pair.count('b'), echoed)
            self.assertNotIn('PANIC', text(pair.backup))


class Flood:
    """Packets for the guest that it does not answer, all the time."""

    def __init__(self, pair):
        self.node = 'a'
        self._pair = pair
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        number = 0
        while not self._stop.wait(0.002):
            number += 1
            try:
                self._pair.send(net.udp(MAC_BYTES, 9, b'f' * (number % 1400)),
                                self.node)
            except OSError:
                pass                # not begun yet, or killed

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


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
