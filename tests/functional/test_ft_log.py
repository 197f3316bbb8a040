#!/usr/bin/python3
"""ft-log on the log files of a real pair.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import io
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom, wire  # noqa: E402
from ftlib.process import Process, wait_for  # noqa: E402
from ftlib.rom import RomPair, SerialLine  # noqa: E402

LINE = re.compile(r'^[ >] +(\d+) +(\d+)  (\w+) +(.*)$')
WORDS = ('hello', 'two words', 'end')
MAN = os.path.join(paths.ROOT, 'docs', 'man', 'ft-log.1')
FILE_HEADER = 32
COMMANDS = ('print', 'sum', 'verify', 'compare', 'follow', 'around')


def ft_log(*words):
    """Its exit status, output and errors."""
    done = subprocess.run([paths.ft_log(), *words], text=True, timeout=30,
                          capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def entries(output):
    """(position, instruction, kind, text) of each line that is an entry."""
    found = [LINE.match(line) for line in output.split('\n')]
    return [(int(m[1]), int(m[2]), m[3], m[4]) for m in found if m]


class FtLog(unittest.TestCase):
    """One session for all tests: lines typed to a guest that echoes them."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix='ft-log-')
        cls.addClassCleanup(cls.directory.cleanup)
        chardev = 'socket,id=s0,path=serial,server=on,wait=off'
        with RomPair('serial-echo', serial=chardev) as pair:
            for node, start in (('b', pair.start_backup),
                                ('a', pair.start_primary)):
                start(f'{",new=on" if node == "a" else ""},'
                      f'log={cls.directory.name}/{node}.log')
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')
            line = SerialLine(pair.primary)
            line.wait('serial ready')
            for word in WORDS:
                line.send(word + '\r')
                line.wait(word.upper())
            line.close()
            pair.primary.qmp.command('x-ft-digest', timeout=20)
            pair.primary.qmp.command('quit')
            cls.assertEqual(cls(), pair.primary.process.wait(20), 0)
            pair.backup.process.wait(20)
            cls.options = pair.options
        cls.a = os.path.join(cls.directory.name, 'a.log')
        cls.b = os.path.join(cls.directory.name, 'b.log')

    def runTest(self):
        """For the class's own assertions."""

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def good(self, *words):
        status, output, errors = ft_log(*words)
        self.assertEqual((status, errors), (0, ''), output)
        return output

    def pc_file(self):
        """Where the guest was, by a replay; made when first asked for."""
        path = self.path('pc')
        if not os.path.exists(path):
            subprocess.run(
                [paths.qemu(), *self.options, '-ft',
                 f'replay,log={self.a},pc={path}'], timeout=60, check=True,
                cwd=self.directory.name, stderr=subprocess.DEVNULL)
        return path

    def test_print(self):
        output = self.good('print', self.a)
        self.assertIn('written by the primary, node=a', output)
        lines = entries(output)
        self.assertEqual(lines[0][:3], (0, 0, 'control'))
        self.assertIn('START', lines[0][3])
        for before, after in zip(lines, lines[1:]):
            self.assertLess(before[0], after[0])
            executed = (int(before[3].split()[1])
                        if before[2] == 'instructions' else 0)
            self.assertEqual(before[1] + executed, after[1])
        typed = ''.join(re.search('"(.*)"', text)[1]
                        for _, _, kind, text in lines if kind == 'char')
        self.assertEqual(typed.replace('\\r', '\r'),
                         ''.join(word + '\r' for word in WORDS))
        self.assertIn('host-qmp-quit',
                      [text for _, _, kind, text in lines
                       if kind == 'shutdown'])
        self.assertRegex(output, 'end of the log at position .*: the VM ended')

    def test_choice(self):
        everything = entries(self.good('print', self.a))
        clocks = entries(self.good('print', '--kind', 'clock', self.a))
        self.assertEqual(clocks, [e for e in everything if e[2] == 'clock'])
        middle = everything[len(everything) // 2]
        self.assertEqual(
            entries(self.good('print', '--from', str(middle[0]), self.a)),
            [e for e in everything if e[0] >= middle[0]])
        self.assertEqual(
            entries(self.good('print', '--to-instruction', str(middle[1]),
                              '-k', 'clock,interrupt', self.a)),
            [e for e in everything if e[1] < middle[1]
             and e[2] in ('clock', 'interrupt')])
        self.assertEqual(entries(self.good('print', '-n', '3', self.a)),
                         everything[-3:])

    def test_sum(self):
        everything = entries(self.good('print', self.a))
        output = self.good('sum', self.a)
        for kind in {e[2] for e in everything}:
            count = sum(e[2] == kind for e in everything)
            self.assertRegex(output, rf'(?m)^{kind} +{count} ')
        total = re.search(r'(\d+) entries, (\d+) bytes, (\d+) instructions',
                          output)
        self.assertEqual(int(total[1]), len(everything))
        sizes = [after[0] - entry[0] for entry, after in
                 zip(everything, everything[1:]) if entry[2] == 'char']
        self.assertGreater(sum(sizes), sum(len(word) + 1 for word in WORDS))
        self.assertIn(f'random): {len(sizes)} entries, {sum(sizes)} bytes',
                      output)
        rates = re.findall(r'(?m)^ +(\d+) - (\d+) +(\d+)', output)
        self.assertTrue(rates)
        self.assertEqual(rates[0][0], '0')

    def test_where_the_guest_was(self):
        pc = self.pc_file()
        elf = rom.path('serial-echo').replace('.rom', '.elf')
        output = self.good('sum', '--pc', pc, self.a)
        self.assertRegex(output, r'(?m)^0x[0-9a-f]+ +\d+ ')
        output = self.good('sum', '--pc', pc, '--symbols', elf, self.a)
        names = re.findall(r'(?m)^([a-z_]\w+) +\d+ +[\d.]+% +\d+  \w+$',
                           output)
        known = subprocess.run(['nm', elf], text=True, capture_output=True,
                               check=True).stdout
        self.assertTrue(names)
        for name in names:
            self.assertRegex(known, rf'\b{name}\b')
        char = entries(self.good('print', '-k', 'char', self.a))[1]
        output = self.good('around', '-c', '2', '--pc', pc, '--symbols', elf,
                           self.a, str(char[0]))
        self.assertEqual(len(entries(output)), 5)
        self.assertRegex(output, rf'(?m)^> +{char[0]} +{char[1]}  char +\w+')

    def test_around(self):
        everything = entries(self.good('print', self.a))
        at = len(everything) // 3
        output = self.good('around', self.a, str(everything[at][0]), '-c', '4')
        self.assertEqual(entries(output), everything[at - 4:at + 5])
        count = next(e for e in everything if e[2] == 'instructions')
        output = self.good('around', '-i', self.a, str(count[1] + 1))
        self.assertRegex(output, rf'(?m)^> +{count[0]} ')
        status, _, errors = ft_log('around', self.a, '999999999')
        self.assertEqual(status, 1)
        self.assertIn('the log ends before', errors)

    def test_verify(self):
        self.assertRegex(self.good('verify', self.a), 'entries, .* are good')
        with open(self.a, 'rb') as file:
            whole = bytearray(file.read())
        frame = whole.index(b'QFT1', 64)
        whole[frame + 60] ^= 4
        with open(self.path('bad'), 'wb') as file:
            file.write(whole)
        status, _, errors = ft_log('verify', self.path('bad'))
        self.assertEqual(status, 1)
        self.assertIn(f'damaged at byte {frame} (log position 0)', errors)
        with open(self.path('cut'), 'wb') as file:
            file.write(whole[:frame + 30])
        status, _, errors = ft_log('verify', self.path('cut'))
        self.assertEqual(status, 1)
        self.assertIn(f'cut off inside the frame at byte {frame}', errors)

    def test_compare(self):
        self.assertIn('equal: ', self.good('compare', self.a, self.a))
        # The backup's is the same, but may end a little earlier.
        status, output, errors = ft_log('compare', self.a, self.b)
        self.assertEqual(errors, '')
        self.assertRegex(output, 'equal')
        self.assertNotIn('of different', output)
        for path, writer in ((self.a, 'primary'), (self.b, 'backup')):
            self.assertRegex(self.good('verify', path),
                             rf'written by the {writer}, .* generation 1\n')
        self.assertNotRegex(output, 'differ')

    def test_compare_with_a_change(self):
        everything = entries(self.good('print', self.a))
        clock = [e for e in everything if e[2] == 'clock'][5]
        with open(self.a, 'rb') as file:
            data = file.read()
        changed = change_log_byte(data, clock[0] + 8)
        with open(self.path('changed'), 'wb') as file:
            file.write(changed)
        status, output, _ = ft_log('compare', '-c', '2', self.a,
                                   self.path('changed'))
        self.assertEqual(status, 1)
        self.assertIn(f'the logs differ from position {clock[0]}', output)
        marked = re.findall(r'(?m)^> +(\d+) .* clock +(.*)$', output)
        self.assertEqual([m[0] for m in marked], [str(clock[0])] * 2)
        self.assertNotEqual(marked[0][1], marked[1][1])

    def test_follow(self):
        with RomPair('counter') as pair:
            pair.protect()
            follower = Process(
                'ft-log', [paths.ft_log(), 'follow', '-k', 'control',
                           os.path.join(pair.directory, 'a', 'ft.log')],
                pair.directory)
            wait_for(lambda: 'START' in follower.output(), 20,
                     'the first entry', follower)
            self.assertNotIn('PAUSE', follower.output())
            pair.primary.qmp.command('stop')
            wait_for(lambda: 'PAUSE, paused' in follower.output(), 20,
                     'the pause', follower)
            pair.primary.qmp.command('quit')
            self.assertEqual(follower.wait(20), 0)
            self.assertIn('the VM ended', follower.output())

    def test_wrong_use(self):
        for words, expected in (
                ((), 'which command'),
                (('prin', self.a), "no command 'prin'"),
                (('print',), 'print takes FILE'),
                (('print', '--bogus', self.a), '--bogus'),
                (('print', '-k', 'clocks', self.a), "no kind 'clocks', only"),
                (('print', '--from', '-1', self.a), 'negative'),
                (('around', self.a, 'here'), "'here' is no log position"),
                (('print', self.path('none')), 'No such file'),
                (('print', self.directory.name), 'no regular file'),
                (('verify', __file__), 'it is no log of a session'),
                (('verify', '/dev/null'), 'no regular file'),
                (('print', '--pc', self.a, self.a), 'no program counters'),
                (('print', '--pc', self.pc_file(), '--symbols', __file__,
                  self.a), 'names no function')):
            with self.subTest(words):
                status, _, errors = ft_log(*words)
                self.assertEqual(status, 2)
                self.assertIn(expected, errors)
                self.assertTrue(errors.startswith('ft-log: '))

    def test_an_empty_file(self):
        with open(self.path('empty'), 'wb'):
            pass
        status, _, errors = ft_log('print', self.path('empty'))
        self.assertEqual(status, 2)
        self.assertIn('it is empty', errors)

    def test_man_page_has_every_option(self):
        with open(MAN, encoding='utf-8') as file:
            page = file.read().replace('\\-', '-')
        sections = re.split(r'(?m)^\.SS ', page)
        for command in COMMANDS:
            listed = set(re.findall(r'--[a-z-]+', ft_log(command,
                                                         '--help')[1]))
            listed.discard('--help')
            section = [s for s in sections if s.startswith(command)]
            self.assertEqual(len(section), 1, command)
            described = set(re.findall(r'--[a-z-]+', section[0]))
            self.assertEqual(listed, described, command)
        kinds = ft_log('print', '-k', 'help', self.a)[1].strip()
        for kind in kinds.split(', '):
            self.assertRegex(page, rf'(?m)^\.B {kind}$')

    def test_man_page_is_well_formed(self):
        done = subprocess.run(['man', '--warnings=w', '-l', '-Tutf8', MAN],
                              text=True, capture_output=True, check=True,
                              env={**os.environ, 'LC_ALL': 'C.UTF-8',
                                   'MANROFFSEQ': ''})
        self.assertEqual(done.stderr, '')
        self.assertIn('ft-log', done.stdout)


def change_log_byte(data, position):
    """The file with one byte of its log changed, and good checksums."""
    file = io.BytesIO(data)
    file.seek(FILE_HEADER)
    while True:
        at = file.tell()
        kind, flags, session, generation, begins, payload = \
            wire.read_frame(file)
        if kind == wire.LOG and begins <= position < begins + len(payload):
            break
    changed = bytearray(payload)
    changed[position - begins] ^= 1
    return data[:at] + wire.frame(kind, bytes(changed), session,
                                  position=begins, flags=flags,
                                  generation=generation) + data[file.tell():]


if __name__ == '__main__':
    unittest.main()
