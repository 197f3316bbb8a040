#!/usr/bin/python3
"""Both machines are in the same state at the same instruction (M2, M25).

x-ft-digest makes the primary hash its CPU and memory; the backup does the
same where its replay comes to that point of the log, and says FT_DIGEST.
Host load makes the two run at different speeds.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import EchoPair, RomPair, SerialLine  # noqa: E402

DIGESTS = 5


class Load:
    """Takes most of one CPU, in turns: both QEMUs are slowed unevenly."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, '-c', 'import time\n'
             'while True:\n'
             '    end = time.monotonic() + .03\n'
             '    while time.monotonic() < end: pass\n'
             '    time.sleep(.01)\n'])
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


class Lockstep(unittest.TestCase):
    def assert_equal_digests(self, pair, between, count=DIGESTS):
        """between(i) is done before each digest."""
        seen = set()
        for number in range(count):
            between(number)
            mine = pair.primary.qmp.command('x-ft-digest', timeout=20)
            event = pair.backup.qmp.wait_event('FT_DIGEST', timeout=20)
            theirs = event['data']['digest']
            self.assertTrue(event['data']['equal'])
            for key in ('icount', 'cpu', 'ram'):
                self.assertEqual(mine[key], theirs[key])
            self.assertGreater(mine['icount'], 0)
            self.assertGreater(mine['position'], 0)
            seen.add((mine['cpu'], mine['ram']))
        # A guest that runs has another state each time; equal digests of
        # nothing would not show anything.
        self.assertEqual(len(seen), count)
        for machine in (pair.primary, pair.backup):
            self.assertEqual(machine.query()['state'], 'protected')

    def assert_equal_while_lines_come(self, pair, lines,
                                      disturb=lambda: None):
        def printed():
            return len(rom.lines(rom.text(pair.primary)))

        def more(_):
            before = printed()
            disturb()
            wait_for(lambda: printed() >= before + lines, 30,
                     'more lines of the guest', pair.primary.process)
        self.assert_equal_digests(pair, more)

    def test_busy_counter(self):
        with Load(), RomPair('counter') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 60)

    def test_idle_counter(self):
        with Load(), RomPair('counter-halt') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 25)

    def test_clocks(self):
        with Load(), RomPair('time') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 4)
            self.assertNotIn('BACKWARDS', rom.text(pair.primary))

    def test_accessed_bits(self):
        # Slices end wherever the host interrupts them.  query-status needs
        # the main loop, which waits for the slice's end.
        with Load(), RomPair('accessed') as pair:
            pair.protect()

            def ask():
                for _ in range(200):
                    pair.primary.qmp.command('query-cpus-fast')
            self.assert_equal_while_lines_come(pair, 1, ask)
            self.assert_equal_while_lines_come(pair, 3)

    def test_exceptions(self):
        # Not logged, but where something else has the same count.
        with Load(), RomPair('exceptions') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 20)
            taken = int(rom.lines(rom.text(pair.primary))[-1].split()[1])
            self.assertLess(pair.primary.query()['appended'], taken)

    def test_repeated_string_instructions(self):
        with Load(), RomPair('strings') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 2)
            self.assertRegex(rom.text(pair.primary), 'errors=0')
            self.assertNotIn('ERROR', rom.text(pair.primary))

    def test_clock_of_the_vm(self):
        """-rtc clock=vm begins at its date and follows the guest's time."""
        with RomPair('time', extra=['-rtc', 'base=2021-06-01T12:00:00,'
                                    'clock=vm']) as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 4)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=30)
            wait_for(lambda: len(rom.lines(rom.text(pair.backup))) > 15, 30,
                     'more lines of the survivor', pair.backup.process)
            # The survivor's first line may have begun on the other.
            for line in (rom.lines(rom.text(pair.primary))
                         + rom.lines(rom.text(pair.backup))[1:]):
                self.assertRegex(line, 'rtc=2021-06-01T12:00:.*=ok')

    def test_disk(self):
        with Load(), RomPair('disk', disk=True) as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 3)
            self.assertIn('errors=0', rom.text(pair.primary))
            self.assertNotIn('ERROR', rom.text(pair.primary))

    def test_guest_that_resets_itself(self):
        with Load(), RomPair('reset') as pair:
            pair.protect()
            self.assert_equal_while_lines_come(pair, 2)

    def test_paused(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 30)
            pair.primary.qmp.command('stop')
            pair.primary.qmp.command('x-ft-digest')
            event = pair.backup.qmp.wait_event('FT_DIGEST')
            self.assertTrue(event['data']['equal'])

    def test_serial_input(self):
        chardev = 'socket,id=s0,path=serial,server=on,wait=off'
        with Load(), RomPair('serial-echo', serial=chardev) as pair:
            pair.protect()
            line = SerialLine(pair.primary)
            self.addCleanup(line.close)
            line.wait('serial ready')
            seed = random.SystemRandom().randrange(1 << 32)
            print(f'# seed {seed}')
            rng = random.Random(seed)

            def talk(_):
                for _ in range(5):
                    word = ''.join(rng.choices('abcdefgh 0123456789', k=30))
                    line.send(word.strip() + '\r')
                    line.wait(word.strip().upper())
            self.assert_equal_digests(pair, talk)

    def test_network_input(self):
        with Load(), EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            seed = random.SystemRandom().randrange(1 << 32)
            print(f'# seed {seed}')
            rng = random.Random(seed)

            def packets(_):
                for _ in range(20):
                    pair.echo(rng.randbytes(rng.randrange(1, 1400)))
            self.assert_equal_digests(pair, packets)
            self.assertEqual(pair.heard('b'), [])

    def test_only_a_running_primary_can_be_digested(self):
        with RomPair('counter') as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            with self.assertRaisesRegex(QmpError, 'whose guest runs'):
                pair.primary.qmp.command('x-ft-digest')


if __name__ == '__main__':
    unittest.main()
