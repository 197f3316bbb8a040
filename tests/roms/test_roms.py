#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots each ROM of roms/ on a plain QEMU and checks what it says.

    FT_QEMU=... FT_ROMS=... tests/roms/test_roms.py

Without the variables the newest ones under build/ are taken.
"""

import datetime
import os
import random
import re
import tempfile
import unittest

import network_peer
from disk_image import SECTOR_SIZE, DiskImage
from guest import WAIT_S, Guest, Qmp, rom_path

ROMS = ['accessed', 'counter', 'counter-halt', 'disk', 'echo', 'echo-e1000',
        'exceptions', 'poweroff', 'reset', 'screen', 'serial-echo', 'strings',
        'time']
DISK_SIZE = 8 * 1024 * 1024
COUNT = re.compile(r'counter (\d{6})$')
CHECKSUM = re.compile(r'checksum (\d{6}) [0-9a-f]{8}$')
DISK = re.compile(r'disk wrote=(\d+) verified=(\d+) errors=(\d+)$')
TIME = re.compile(r'time rtc=(\S+) tsc=(\d+) pm=(\d+) pit=(\d+) '
                  r'monotonic=(ok|no)$')
PIT_HZ = 1193182


class RomTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='ft-roms-')
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def icount(self, mode):
        """Recording to, or replaying from, this test's log file."""
        # With vapic upstream's recorder deadlocks at a reset of the machine.
        return ['-icount', f'shift=2,rr={mode},rrfile={self.path("log")}',
                '-global', 'apic-common.vapic=off']

    def make_disk(self, name):
        with open(self.path(name), 'wb') as image:
            image.truncate(DISK_SIZE)
        return self.path(name)

    def make_peer(self, device):
        peer = network_peer.NetworkPeer(self.directory, WAIT_S, device)
        self.addCleanup(peer.close)
        return peer

    def check_replay(self, rom, recorded_lines, options=()):
        self.assertTrue(recorded_lines)
        with Guest(rom, self.icount('replay') + list(options)) as guest:
            guest.wait_exit()
            self.assertEqual(guest.lines, recorded_lines)


class ImageTest(RomTest):
    def test_each_image_is_64_kib(self):
        for rom in ROMS:
            with self.subTest(rom=rom):
                self.assertEqual(os.path.getsize(rom_path(rom)), 65536)

    def test_missing_device_is_named(self):
        for rom, device in (('disk', 'virtio-blk-pci'),
                            ('echo', 'virtio-net-pci'),
                            ('echo-e1000', 'e1000'),
                            ('screen', 'std VGA')):
            with self.subTest(rom=rom), Guest(rom) as guest:
                number = guest.wait_prefix('PANIC: ')
                self.assertIn(device, guest.lines[number])


class CounterTest(RomTest):
    def check_lines(self, lines):
        counts = [int(COUNT.match(line).group(1)) for line in lines
                  if not CHECKSUM.match(line)]
        self.assertEqual(counts, list(range(1, len(counts) + 1)))

    def test_counts_every_tick(self):
        for rom in ('counter', 'counter-halt'):
            with self.subTest(rom=rom), Guest(rom) as guest:
                guest.wait_prefix('checksum 000100')
                guest.wait_prefix('counter 000150')
                self.check_lines(guest.lines)

    def test_boots_with_default_devices(self):
        with Guest('counter', ['-net', 'none'], defaults=True) as guest:
            guest.wait_prefix('counter 000010')

    def test_replays_to_the_same_checksum(self):
        for rom in ('counter', 'counter-halt'):
            with self.subTest(rom=rom):
                with Guest(rom, self.icount('record')) as guest:
                    guest.wait_prefix('checksum 000200')
                    guest.stop()
                self.check_lines(guest.lines)
                self.check_replay(rom, guest.lines)


class TimeTest(RomTest):
    def wait_reports(self, guest, count):
        start = 0
        for _ in range(count):
            start = guest.wait_prefix('time ', start) + 1
        return [TIME.match(line).groups() for line in guest.lines]

    def test_clocks_go_forward_together(self):
        started = datetime.datetime.now(datetime.timezone.utc)
        with Guest('time', ['-icount', 'shift=2']) as guest:
            reports = self.wait_reports(guest, 20)
        ended = datetime.datetime.now(datetime.timezone.utc)
        for rtc, *_, monotonic in reports:
            self.assertEqual(monotonic, 'ok')
            rtc = datetime.datetime.fromisoformat(rtc + '+00:00')
            self.assertGreaterEqual(rtc, started.replace(microsecond=0) -
                                    datetime.timedelta(seconds=1))
            self.assertLessEqual(rtc, ended +
                                 datetime.timedelta(seconds=1))
        first, last = reports[0], reports[-1]
        tsc_s = (int(last[1]) - int(first[1])) / 1e9
        pit_s = (int(last[3]) - int(first[3])) / PIT_HZ
        self.assertGreater(tsc_s, 1)
        self.assertAlmostEqual(tsc_s / pit_s, 1, delta=0.02)

    def test_says_so_when_a_clock_goes_backwards(self):
        qmp_path = self.path('qmp')
        with Guest('time', ['-qmp', f'unix:{qmp_path},server=on,wait=off']
                   ) as guest:
            self.wait_reports(guest, 1)
            qmp = Qmp(qmp_path)
            self.addCleanup(qmp.close)
            # With the vCPU stopped it can't select another register between.
            qmp.execute('stop')
            qmp.write_port(0x70, 0x89)      # the RTC's year
            qmp.write_port(0x71, 0x01)
            qmp.execute('cont')
            number = guest.wait_prefix('time BACKWARDS rtc')
            number = guest.wait_prefix('time rtc=2001', number)
            self.assertIn('monotonic=no', guest.lines[number])

    def test_replays(self):
        with Guest('time', self.icount('record')) as guest:
            self.wait_reports(guest, 5)
            guest.stop()
        self.check_replay('time', guest.lines)


class DiskTest(RomTest):
    def options(self, image):
        return ['-drive', f'if=none,file={image},format=raw,id=d0',
                '-device', 'virtio-blk-pci,drive=d0']

    def replay_options(self, image):
        return ['-drive', f'if=none,file={image},format=raw,id=p0',
                '-drive', 'if=none,driver=blkreplay,image=p0,id=d0',
                '-device', 'virtio-blk-pci,drive=d0']

    @staticmethod
    def verified(least):
        def wanted(line):
            match = DISK.match(line)
            return match is not None and int(match.group(2)) >= least
        return wanted

    def check_clean(self, lines, image):
        for line in lines[1:]:
            self.assertRegex(line, DISK)
            self.assertEqual(DISK.match(line).group(3), '0')
        content = DiskImage(image)
        self.assertEqual(content.bad, {})
        self.assertGreater(content.written(), 0)

    def test_writes_and_verifies(self):
        image = self.make_disk('disk')
        with Guest('disk', self.options(image)) as guest:
            guest.wait_line(self.verified(500))
            guest.stop()
        self.assertEqual(guest.lines[0],
                         f'disk capacity={DISK_SIZE // SECTOR_SIZE} '
                         'region=8192')
        self.check_clean(guest.lines, image)

    def test_finds_a_damaged_sector(self):
        image = self.make_disk('disk')
        with Guest('disk', self.options(image)) as guest, \
                open(image, 'r+b', buffering=0) as damage:
            guest.wait_line(self.verified(200))
            # The guest may write over it before it reads: damage a lot.
            damage.write(bytes(4096 * SECTOR_SIZE))
            number = guest.wait_prefix('disk ERROR checksum')
            guest.wait_line(
                lambda line: DISK.match(line) and 'errors=0' not in line,
                number)

    def test_replays(self):
        first, second = self.make_disk('first'), self.make_disk('second')
        with Guest('disk', self.icount('record') +
                   self.replay_options(first)) as guest:
            guest.wait_line(self.verified(300))
            guest.stop()
        self.check_clean(guest.lines, first)
        self.check_replay('disk', guest.lines, self.replay_options(second))
        with open(first, 'rb') as a, open(second, 'rb') as b:
            self.assertTrue(a.read() == b.read(), 'the images differ')


class EchoTest(RomTest):
    rom = 'echo'
    device = 'virtio-net-pci'
    guest_mac = bytes.fromhex('525400aabb02')

    def setUp(self):
        super().setUp()
        self.peer = self.make_peer(self.device)

    def ask(self, port, data):
        self.peer.send(network_peer.udp(self.guest_mac, port, data))
        reply = network_peer.Udp(self.peer.receive())
        self.assertEqual((reply.from_port, reply.to_port), (port, 4000))
        return reply.data

    def check_announcement(self):
        frame = self.peer.receive()
        self.assertEqual(frame[:14], b'\xff' * 6 + self.guest_mac +
                         b'\x08\x06')
        self.assertEqual(frame[28:32], network_peer.GUEST_IP)

    def test_answers(self):
        with Guest(self.rom, self.peer.options) as guest:
            guest.wait_prefix('echo ready mac=52:54:00:aa:bb:02 '
                              'ip=10.0.2.15')
            self.check_announcement()

            self.peer.send(network_peer.arp_request())
            frame = self.peer.receive()
            self.assertEqual(frame[:12], network_peer.OWN_MAC +
                             self.guest_mac)
            self.assertEqual(frame[20:32], b'\0\2' + self.guest_mac +
                             network_peer.GUEST_IP)

            for size in (0, 1, 2, 100, 1472):
                data = random.Random(size).randbytes(size)
                self.assertEqual(self.ask(7, data), data)

            self.peer.send(network_peer.ping(self.guest_mac, b'abc'))
            reply = self.peer.receive()[34:]
            self.assertEqual(reply[0], 0)
            self.assertEqual(network_peer.internet_checksum(reply[:11]), 0)
            self.assertEqual(reply[8:11], b'abc')

            self.assertEqual(self.ask(8, b'?'), b'echo packets=6\n')
            self.assertEqual(self.ask(8, b'x' * 200), b'echo packets=6\n')
            guest.wait_prefix('echo packets=6')

    def test_leaves_unanswered_what_is_not_for_it(self):
        other = bytes([10, 0, 2, 16])
        seed = random.randrange(1 << 32)
        print(f'seed {seed}')
        rng = random.Random(seed)
        with Guest(self.rom, self.peer.options) as guest:
            guest.wait_prefix('echo ready')
            self.check_announcement()
            self.peer.send(network_peer.arp_request(other))
            self.peer.send(network_peer.udp(self.guest_mac, 7, b'other',
                                            to_ip=other))
            self.peer.send(network_peer.udp(self.guest_mac, 9, b'port'))
            whole = network_peer.udp(self.guest_mac, 7, b'x' * 40)
            for _ in range(50):
                # Cut inside the UDP header or before, or random bytes.
                self.peer.send(whole[:rng.randrange(14, 42)])
                self.peer.send(whole[:14] + bytes([0x46]) +
                               rng.randbytes(rng.randrange(60)))
            self.assertEqual(self.ask(7, b'still there'), b'still there')
            self.assertEqual(self.ask(8, b''), b'echo packets=1\n')

    def test_replays(self):
        replay_filter = ['-object', 'filter-replay,id=f0,netdev=n0']
        with Guest(self.rom, self.icount('record') + self.peer.options +
                   replay_filter) as guest:
            guest.wait_prefix('echo ready')
            self.check_announcement()
            for number in range(50):
                data = b'packet %d' % number
                self.assertEqual(self.ask(7, data), data)
            guest.wait_prefix('echo packets=50')
            guest.stop()
        self.peer.close()
        again = self.make_peer(self.device)
        self.check_replay(self.rom, guest.lines, again.options + replay_filter)


class EchoE1000Test(EchoTest):
    rom = 'echo-e1000'
    device = 'e1000'


class SerialEchoTest(RomTest):
    def converse(self, guest, lines):
        guest.wait_prefix('serial ready')
        for number, line in enumerate(lines, 1):
            guest.type(line + '\r')
            answer = guest.wait_prefix('serial 0', number)
            self.assertEqual(guest.lines[answer],
                             f'serial {number:06} {line.upper()}')

    def test_answers_lines(self):
        with Guest('serial-echo') as guest:
            self.converse(guest, ['hello', 'Number 2?', 'x' * 80])

    def test_replays(self):
        with Guest('serial-echo', self.icount('record')) as guest:
            # Upstream's recorder overruns the port's 16 bytes when more come.
            self.converse(guest, ['hello', 'Number 2?', 'x' * 15])
            guest.stop()
        self.check_replay('serial-echo', guest.lines)


class StringsTest(RomTest):
    """target/i386/tcg/ft-rep.c is used where instructions are counted."""

    def check(self, options):
        with Guest('strings', options) as guest:
            guest.wait_prefix('strings 000500')
            guest.stop()
        for line in guest.lines:
            self.assertRegex(line, r'^strings \d{6} [0-9a-f]{8} errors=0$')
        return guest.lines

    def test_like_single_moves(self):
        self.check(['-icount', 'shift=1'])

    def test_the_guest_is_right_about_upstream(self):
        self.check([])

    def test_replays(self):
        self.check_replay('strings', self.check(self.icount('record')))


class EndTest(RomTest):
    off_lines = [f'poweroff in={left}' for left in (50, 40, 30, 20, 10)]
    off_lines.append('poweroff now')

    def test_powers_off(self):
        with Guest('poweroff') as guest:
            self.assertEqual(guest.wait_exit(), 0)
            self.assertEqual(guest.lines, self.off_lines)

    def test_power_off_replays(self):
        with Guest('poweroff', self.icount('record')) as guest:
            self.assertEqual(guest.wait_exit(), 0)
        self.assertEqual(guest.lines, self.off_lines)
        self.check_replay('poweroff', self.off_lines)

    def reset_line(self, boot):
        way = ('port-cf9', 'keyboard', 'triple-fault')[(boot - 1) % 3]
        return f'reset boot={boot} nvram={boot} next={way}'

    def test_resets_in_every_way(self):
        with Guest('reset') as guest:
            guest.wait_prefix('reset boot=5')
            self.assertEqual(guest.lines[:5],
                             [self.reset_line(boot) for boot in range(1, 6)])

    def test_resets_replay(self):
        with Guest('reset', self.icount('record')) as guest:
            guest.wait_prefix('reset boot=5')
            guest.stop()
        self.check_replay('reset', guest.lines)


if __name__ == '__main__':
    unittest.main()
