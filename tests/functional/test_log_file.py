#!/usr/bin/python3
"""The session's log as a file, and its replay without a peer.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

SUMMARY = re.compile(r'replayed (\d+) bytes of log to its end: (\d+) '
                     r'instructions, (\d+) entries, (\d+) digests equal')


class LogFile(unittest.TestCase):
    def record(self, pair, count=60, digests=2):
        """Some history with digests in it; returns the last digest."""
        pair.start_backup(',log=b.log')
        pair.start_primary(',new=on,log=a.log')
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        for number in range(digests):
            rom.wait_count(pair.primary, count * (number + 1) // digests)
            digest = pair.primary.qmp.command('x-ft-digest', timeout=20)
        return digest

    def kill(self, pair):
        """The primary first, so that it does not see the backup die."""
        for machine in (pair.primary, pair.backup):
            machine.process.kill()
            machine.process.wait(10)

    def replay(self, pair, log, name='replay', extra=''):
        """Returns its exit status and what it said."""
        machine = pair.start_machine(name, f'replay,log={log}{extra}')
        status = machine.process.wait(60)
        return status, machine.process.errors(), machine

    def test_both_files_replay_to_the_same(self):
        with RomPair('counter') as pair:
            digest = self.record(pair)
            pair.primary.qmp.command('quit')
            pair.backup.process.wait(20)
            ends = {}
            for node in 'ab':
                status, said, machine = self.replay(
                    pair, f'../{node}/{node}.log', f'replay-{node}')
                self.assertEqual(status, 0, said)
                ends[node] = [int(n) for n in SUMMARY.search(said).groups()]
                self.assertEqual(machine.serial(), '')
            for length, icount, entries, digests in ends.values():
                self.assertEqual(digests, 2)
                self.assertGreaterEqual(length, digest['position'])
                self.assertGreaterEqual(icount, digest['icount'])
                self.assertGreater(entries, 2)
            # The backup ends when it is told to, maybe before the log does.
            self.assertGreaterEqual(ends['a'], ends['b'])

    def test_damage_is_named_and_replayed_up_to(self):
        with RomPair('counter') as pair:
            self.record(pair)
            self.kill(pair)
            path = os.path.join(pair.directory, 'a', 'a.log')
            with open(path, 'rb') as file:
                whole = file.read()
            # A killed writer leaves no END; what is there is replayed.
            status, said, _ = self.replay(pair, path, 'killed')
            self.assertEqual(status, 0, said)
            self.assertRegex(said, 'digests equal.*it has no end')
            frame = whole.rindex(b'QFT1')
            for name, data, expected in (
                    ('cut', whole[:frame + 20], 'inside the frame at byte'),
                    ('bit', whole[:-1] + bytes([whole[-1] ^ 1]),
                     f'damaged at byte {frame} .*wrong checksum'),
                    ('gap', whole[:frame] + whole[frame + 1:],
                     f'damaged at byte {frame}'),
                    ('no-log', b'hello' * 20, 'no log of a session'),
                    ('empty', b'', 'it is empty')):
                with self.subTest(name):
                    damaged = os.path.join(pair.directory, f'{name}.log')
                    with open(damaged, 'wb') as file:
                        file.write(data)
                    status, said, _ = self.replay(pair, damaged, name)
                    self.assertRegex(said, expected)
                    self.assertEqual(status, {'cut': 0, 'bit': 3,
                                              'gap': 3}.get(name, 1))

    def test_another_machine_is_refused(self):
        with RomPair('counter') as pair:
            self.record(pair)
            self.kill(pair)
            words = rom.options('counter')
            words[words.index('-m') + 1] = '32'
            machine = pair.start_machine('other', 'replay,log=../a/a.log',
                                         words)
            self.assertEqual(machine.process.wait(20), 1)
            self.assertRegex(machine.process.errors(), 'machine.ram.maximum: the log '
                             'has 16M, this machine has 32M')

    def test_stop_at_an_instruction(self):
        with RomPair('counter') as pair:
            digest = self.record(pair, 40, 1)
            self.kill(pair)
            stop = digest['icount'] - 12345
            machine = pair.start_machine(
                'stop', f'replay,log=../a/a.log,stop-instruction={stop}')
            machine.qmp.wait_event('STOP', timeout=30)
            status = machine.query()
            self.assertEqual(status['icount'], stop)
            self.assertEqual((status['role'], status['state']),
                             ('replay', 'replaying'))
            self.assertIn('EIP=', machine.qmp.hmp('info registers'))
            self.assertIn(f'instruction {stop}', machine.qmp.hmp('info ft'))
            machine.qmp.command('quit')
            self.assertEqual(machine.process.wait(20), 0)

    def test_show(self):
        with RomPair('counter') as pair:
            self.record(pair)
            pair.primary.qmp.command('quit')
            pair.primary.process.wait(20)
            _, _, machine = self.replay(pair, '../a/a.log', extra=',show=on')
            self.assertEqual(machine.serial(), pair.primary.serial())


if __name__ == '__main__':
    unittest.main()
