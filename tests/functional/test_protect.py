#!/usr/bin/python3
"""A machine that already runs gets a backup.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import threading
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'roms'))

import network_peer as net  # noqa: E402
from disk_image import DiskImage  # noqa: E402
from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect  # noqa: E402

from ftlib.rom import EchoPair, RomPair, SerialLine  # noqa: E402

def assert_equal_digest(test, primary, backup):
    primary.qmp.command('x-ft-digest')
    event = backup.qmp.wait_event('FT_DIGEST', timeout=60)
    test.assertTrue(event['data']['equal'])


class Protect(unittest.TestCase):
    def counts_on(self, guest, way):
        with RomPair(guest) as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 50)
            backup = protect(pair, way)
            assert_equal_digest(self, pair.primary, backup)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            assert_equal_digest(self, pair.primary, backup)
            pair.primary.process.kill()
            backup.wait_state('alone')
            rom.wait_count(backup, rom.last_count(pair.primary) + 50)
            rom.check_counter(rom.join(rom.text(pair.primary),
                                       rom.text(backup)))

    def test_busy_guest_by_a_socket(self):
        self.counts_on('counter', 'unix')

    def test_busy_guest_by_a_file(self):
        self.counts_on('counter', 'file')

    def test_log_executes_again_from_the_state(self):
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 50)
            backup = protect(pair, 'file')
            assert_equal_digest(self, pair.primary, backup)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            assert_equal_digest(self, pair.primary, backup)
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, backup):
                machine.process.wait(20)
            for node in 'ab':
                machine = pair.start_replay_apart(
                    os.path.join(pair.directory, node, pair.log), None,
                    name=f'replay-{node}',
                    state=os.path.join(pair.directory, 'state-b'))
                self.assertEqual(machine.process.wait(60), 0,
                                 machine.process.errors())
                found = re.search(r'(\d+) digests equal',
                                  machine.process.errors())
                self.assertGreaterEqual(int(found[1]), 2)
            # Without the state it is another machine.
            machine = pair.start_replay_apart(
                os.path.join(pair.directory, 'a', pair.log), None)
            self.assertEqual(machine.process.wait(20), 1)
            self.assertIn('-incoming', machine.process.errors())

    def test_idle_guest(self):
        self.counts_on('counter-halt', 'unix')

    def takes_over(self, pair, busy, way='unix'):
        """Protects it in the middle of what it does, and kills it there.

        busy(machine) returns when the guest did some more of it.
        """
        busy(pair.primary)
        backup = protect(pair, way)
        for _ in range(3):
            busy(pair.primary)
            assert_equal_digest(self, pair.primary, backup)
        pair.primary.process.kill()
        backup.wait_state('alone')
        busy(backup)
        return backup

    def wait_lines(self, count):
        """The guest printed so many lines more."""
        def busy(machine):
            start = len(rom.lines(rom.text(machine)))
            wait_for(lambda: len(rom.lines(rom.text(machine))) >=
                     start + count, 30, f'{count} lines of the guest',
                     machine.process)
        return busy

    def assert_prints(self, guest, count, right, wrong):
        """Both machines, while they print count lines at each step."""
        with RomPair(guest) as pair:
            begin_alone(pair)
            backup = self.takes_over(pair, self.wait_lines(count))
            for machine in (pair.primary, backup):
                self.assertIn(right, rom.text(machine))
                self.assertNotIn(wrong, rom.text(machine))

    def test_accessed_bits(self):
        """Both read the guest's page tables at the same instructions."""
        with RomPair('accessed') as pair:
            begin_alone(pair)
            self.takes_over(pair, self.wait_lines(4))

    def test_repeated_string_instructions(self):
        """The primary watches for writes meanwhile, the backup does not."""
        self.assert_prints('strings', 4, 'errors=0', 'ERROR')

    def test_clocks_in_flight(self):
        """Timers of all clocks; none of them steps back."""
        self.assert_prints('time', 10, 'monotonic=ok', 'BACKWARDS')

    def test_disk_requests_in_flight(self):
        """Eight at any time; what was written is there, and nothing torn."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            backup = self.takes_over(pair, self.wait_lines(3))
            backup.end()
            for machine in (pair.primary, backup):
                self.assertNotIn('ERROR', rom.text(machine))
                self.assertNotIn('PANIC', rom.text(machine))
            image = DiskImage(os.path.join(backup.directory, 'disk.raw'))
            self.assertEqual(image.bad, {})
            self.assertGreater(image.written(), 0)

    def test_serial_bytes_in_flight(self):
        with RomPair('serial-echo',
                     serial='socket,id=s0,path=serial,server=on,wait=off'
                     ) as pair:
            begin_alone(pair)
            first = SerialLine(pair.primary)
            self.addCleanup(first.close)
            first.wait('serial ready')
            numbers = range(1, 200)

            def type_on():
                for number in numbers:
                    first.send(f'line {number}\r')
                    first.wait(f'serial {number:06} LINE {number}\r\n')
            thread = threading.Thread(target=type_on)
            thread.start()
            backup = protect(pair, 'unix')
            thread.join(60)
            self.assertIn(f'LINE {numbers[-1]}\r\n', first.text)
            assert_equal_digest(self, pair.primary, backup)
            pair.primary.process.kill()
            backup.wait_state('alone')
            second = SerialLine(backup)
            self.addCleanup(second.close)
            second.send('and here\r')
            second.wait(f'serial {numbers[-1] + 1:06} AND HERE\r\n')

    def assert_packets_in_flight(self, pair, begun):
        begin_alone(pair)
        wait_for(lambda: begun in rom.text(pair.primary), 20,
                 f'"{begun}" from the guest', pair.primary.process)
        stop = threading.Event()

        def flood():
            number = 0
            while not stop.is_set():
                number += 1
                pair.send(net.udp(rom.MAC_BYTES, 9, b'%d' % number))
                stop.wait(0.001)

        def answers():
            pair.send(net.udp(rom.MAC_BYTES, 7, b'anybody?'))
            return any(b'anybody?' in frame for frame in pair.heard('a'))
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            backup = protect(pair, 'unix')
            assert_equal_digest(self, pair.primary, backup)
            wait_for(answers, 20, 'an answer', interval=0.1)
            for _ in range(3):
                self.assertEqual(pair.echo(b'still there'), b'still there')
                assert_equal_digest(self, pair.primary, backup)
        finally:
            stop.set()
            thread.join()
        pair.primary.process.kill()
        backup.wait_state('alone')
        self.assertEqual(pair.echo(b'and here', 'b'), b'and here')

    def test_packets_in_flight(self):
        """Packets that come while it stands still may be lost, no more."""
        with EchoPair() as pair:
            self.assert_packets_in_flight(pair, 'echo ready')

    def test_e1000_in_flight(self):
        """It negotiates with the link, or delays interrupts."""
        for begun in ('echo ready', 'echo link=up'):
            with self.subTest(begun), EchoPair('echo-e1000',
                                               'e1000') as pair:
                self.assert_packets_in_flight(pair, begun)

    def test_again_and_again(self):
        """Each survivor gets the next backup."""
        with RomPair('counter') as pair:
            begin_alone(pair)
            rom.wait_count(pair.primary, 50)
            now, history = pair.primary, ''
            for name in 'bcd':
                backup = protect(pair, 'unix', now, name)
                rom.wait_count(now, rom.last_count(now) + 30)
                assert_equal_digest(self, now, backup)
                now.process.kill()
                backup.wait_state('alone')
                history = rom.join(history, rom.text(now))
                now = backup
                rom.wait_count(now, rom.last_count(now) + 30)
            rom.check_counter(rom.join(history, rom.text(now)))


if __name__ == '__main__':
    unittest.main()
