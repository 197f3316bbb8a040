#!/usr/bin/python3
"""The session's log as a file, and its replay without a peer.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import glob
import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

CR2 = 28                        # as a debugger counts; unused by the guest
SUMMARY = re.compile(r'replayed (\d+) bytes of log to its end: (\d+) '
                     r'instructions, (\d+) entries, (\d+) digests equal')


def has_position(path, position):
    """Whether a file, maybe still being written, has the log beyond it."""
    done = subprocess.run([paths.ft_log(), 'print', '--from', str(position),
                           path], text=True, capture_output=True, check=False)
    return re.search(r'(?m)^ +\d+ +\d+  ', done.stdout)


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
        # The files have it soon, whatever becomes of the two.
        for node in 'ab':
            path = os.path.join(pair.directory, node, f'{node}.log')
            wait_for(lambda: has_position(path, digest['position']), 20,
                     f'the digest to be in {path}', pair.primary.process)
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
                self.assertGreaterEqual(digests, 2)
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

    @staticmethod
    def wait_stop(machine):
        # By its status: it may stop before QMP reports events.
        def look():
            status = machine.query()
            return 'stopped at' in status['text'] and status
        return wait_for(look, 30, 'a stop', machine.process)

    def test_stop_at_an_instruction(self):
        with RomPair('counter') as pair:
            digest = self.record(pair, 40, 1)
            self.kill(pair)
            stop = digest['icount'] - 12345
            machine = pair.start_machine(
                'stop', f'replay,log=../a/a.log,stop-instruction={stop}')
            status = self.wait_stop(machine)
            self.assertEqual(status['icount'], stop)
            self.assertEqual((status['role'], status['state']),
                             ('replay', 'replaying'))
            self.assertIn('EIP=', machine.qmp.hmp('info registers'))
            self.assertRegex(machine.qmp.hmp('xp /4xb 0xffff0'),
                             'ffff0: 0x')
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

    def test_stop_at_a_position(self):
        with RomPair('counter') as pair:
            digest = self.record(pair, 40, 1)
            self.kill(pair)
            stop = digest['position'] // 2
            machine = pair.start_machine(
                'stop', f'replay,log=../a/a.log,stop-position={stop}')
            status = self.wait_stop(machine)
            self.assertLessEqual(status['executed'], stop)
            self.assertGreater(status['executed'], stop - 1000)
            self.assertIn('stopped at log position', status['text'])
            with self.assertRaisesRegex(QmpError, 'has no pair to command'):
                machine.qmp.command('ft-failover')

    def test_a_full_disk_costs_only_the_file(self):
        with RomPair('counter') as pair:
            full = os.path.join(pair.directory, 'full')
            os.mkdir(full)
            if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32k',
                               'none', full], check=False,
                              stderr=subprocess.DEVNULL).returncode:
                self.skipTest('mounting a small file system takes root')
            try:
                pair.start_backup(f',log={full}/b.log')
                pair.start_primary(',new=on,log=a.log')
                pair.primary.wait_state('protected')
                ended = wait_for(lambda: self.ended_early(pair.backup), 60,
                                 'the disk to be full', pair.backup.process)
                self.assertRegex(ended['text'], 'No space left')
                wait_for(lambda: 'No space left' in
                         pair.backup.process.errors(), 10, 'a warning')
                self.assertIn('log file: ', pair.backup.qmp.hmp('info ft'))
                pair.primary.qmp.command('x-ft-digest', timeout=20)
                event = pair.backup.qmp.wait_event('FT_DIGEST', timeout=20)
                self.assertTrue(event['data']['equal'])
                self.assertTrue(pair.primary.query()['log-file']['writing'])
                # It ends with a whole frame.
                done = subprocess.run(
                    [paths.ft_log(), 'verify', f'{full}/b.log'], text=True,
                    capture_output=True, check=False)
                self.assertIn(f'stops after byte {ended["bytes"]} ',
                              done.stderr)
                status, said, _ = self.replay(pair, f'{full}/b.log')
                self.assertEqual(status, 0, said)
            finally:
                pair.close()
                subprocess.run(['umount', full], check=True)

    def ended_early(self, machine):
        info = machine.query()['log-file']
        return info if 'ended early' in info['text'] else None

    def test_a_file_that_is_no_log_is_left_alone(self):
        with RomPair('counter') as pair:
            precious = os.path.join(pair.directory, 'precious')
            with open(precious, 'w', encoding='ascii') as file:
                file.write('years of work')
            pair.start_backup(f',log={precious}')
            self.assertEqual(pair.backup.process.wait(20), 1)
            self.assertIn('exists and is no log',
                          pair.backup.process.errors())
            with open(precious, encoding='ascii') as file:
                self.assertEqual(file.read(), 'years of work')

    def test_files_that_cannot_be_written(self):
        with RomPair('counter') as pair:
            pair.start_backup(',log=b.log')
            pair.backup.wait_state('listening')
            for name, path, expected in (
                    ('used', '../b/b.log', 'written by another process'),
                    ('away', '/nowhere/x.log', 'No such file'),
                    ('device', '/dev/null', 'no regular file')):
                with self.subTest(name):
                    machine = pair.start_machine(
                        name, f'backup,listen=127.0.0.1:{paths.free_port()},'
                        f'lease=dir:{pair.lease},log={path}')
                    self.assertEqual(machine.process.wait(20), 1)
                    self.assertIn(expected, machine.process.errors())

    def test_a_new_session_begins_a_new_file(self):
        with RomPair('counter') as pair:
            pair.start_backup(',log=b.log')
            path = os.path.join(pair.directory, 'b', 'b.log')
            pair.start_primary(',new=on,log=a.log')
            pair.backup.wait_state('protected')
            wait_for(lambda: os.path.getsize(path), 20, 'some log')
            self.kill(pair)
            size = os.path.getsize(path)
            self.assertGreater(size, 0)
            pair.start_backup(',log=b.log')
            pair.backup.wait_state('listening')
            self.assertEqual(os.path.getsize(path), size)
            self.assertEqual(pair.backup.query()['log-file']['text'],
                             'no session has begun')

    def test_a_backup_keeps_its_log_for_evidence(self):
        with RomPair('counter') as pair:
            pair.log = None
            pair.start_backup(',x-faults=on')
            pair.start_primary()
            pair.backup.wait_state('protected')
            self.assertNotIn('log-file', pair.backup.query())
            rom.wait_count(pair.primary, 40)
            pair.backup.qmp.command('x-ft-fault', register=CR2)
            self.assertEqual(pair.backup.process.wait(20), 3)
            path, = glob.glob(os.path.join(pair.directory, 'b', 'evidence',
                                           '*', 'session.log'))
            # The fault was this process's, so the log is a good one.
            status, said, _ = self.replay(pair, path)
            self.assertEqual(status, 0, said)
            self.assertRegex(said, 'differs')

    def test_a_log_for_evidence_has_a_bound(self):
        with RomPair('counter') as pair:
            pair.log = None
            pair.start_backup(',spool=32k')
            pair.start_primary()
            pair.backup.wait_state('protected')
            wait_for(lambda: 'reached its bound' in
                     pair.backup.process.errors(), 60, 'the bound',
                     pair.backup.process)
            self.assertEqual(pair.backup.query()['state'], 'protected')


if __name__ == '__main__':
    unittest.main()
