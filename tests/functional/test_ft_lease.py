#!/usr/bin/python3
"""ft-lease: shows, checks, empties and claims leases by hand.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.shared import LunPair, reports  # noqa: E402
from ftlib.target import MIB, Chap, Istgt, Tgt  # noqa: E402

GOOD, NO, NOT_FOUND_OUT = 0, 1, 2
LUNS = {'lease': MIB}
PASSWORD = 'known-to-few'


class Command(unittest.TestCase):
    def lease(self, status, *words):
        """Runs it, asserts its exit status; returns what it said."""
        done = subprocess.run([paths.ft_lease(), *words], text=True,
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr


class Lun(Command):
    def life(self, kind, method):
        with kind(LUNS) as target:
            uri = target.uri('lease')
            self.assertIn('empty', self.lease(GOOD, 'show', uri))
            self.assertIn(method, self.lease(GOOD, 'verify', uri))
            self.assertIn('new=on', self.lease(NO, 'claim', '--node', 'x',
                                               uri))
            with RomPair('counter') as pair:
                pair.lease_uri = uri
                pair.protect()
                shown = self.lease(GOOD, 'show', uri)
                self.assertRegex(shown, r'owner: +a\n')
                self.assertRegex(shown, r'partner: +b\n')
                # A look and a check disturb nobody.
                self.lease(GOOD, 'verify', uri)
                self.assertEqual(self.lease(GOOD, 'show', uri), shown)
                self.claims(uri, shown)
                # The pair was overtaken by hand: who asks next, stops.
                pair.backup.process.kill()
                self.assertEqual(pair.primary.process.wait(30), 4)
            self.empties(uri)

    def claims(self, uri, shown):
        self.assertIn('--force', self.lease(NO, 'claim', '--node', 'c', uri))
        self.assertIn('nothing was changed', self.lease(
            GOOD, 'claim', '--dry-run', '--node', 'b', uri))
        self.assertEqual(self.lease(GOOD, 'show', uri), shown)
        self.lease(GOOD, 'claim', '--node', 'b', uri)
        now = self.lease(GOOD, 'show', uri)
        self.assertRegex(now, r'generation: 2\n')
        self.assertRegex(now, r'owner: +b\n')
        self.assertRegex(now, r'partner: +none\n')

    def empties(self, uri):
        self.assertIn('a lease: generation 2', self.lease(NO, 'format', uri))
        self.assertIn('nothing was changed', self.lease(
            GOOD, 'format', '--force', '--dry-run', uri))
        self.assertIn('owner', self.lease(GOOD, 'show', uri))
        self.lease(GOOD, 'format', '--force', uri)
        self.assertIn('empty', self.lease(GOOD, 'show', uri))
        self.lease(GOOD, 'format', uri)

    def test_tgt(self):
        self.life(Tgt, 'reservation')

    def test_istgt(self):
        self.life(Istgt, 'COMPARE AND WRITE')

    def test_something_else_is_there(self):
        with Tgt(LUNS) as target:
            for place in (100, MIB - 1):
                with open(target.path('lease'), 'r+b') as file:
                    file.seek(place)
                    file.write(b'x')
                self.assertIn('data in its first', self.lease(
                    NO, 'format', target.uri('lease')))
                self.assertIn('--force', self.lease(
                    NOT_FOUND_OUT, 'check-target', target.uri('lease')))
                if place == 100:
                    self.assertIn('something else', self.lease(
                        NO, 'show', target.uri('lease')))
                with open(target.path('lease'), 'r+b') as file:
                    file.write(bytes(MIB))

    def test_password_comes_from_a_file(self):
        with Tgt(LUNS, chap=Chap('user', PASSWORD)) as target, \
                tempfile.NamedTemporaryFile('w') as file:
            file.write(PASSWORD + '\n')
            file.flush()
            login = ['--user', 'user', '--password-file', file.name]
            uri = target.uri('lease')
            self.lease(GOOD, 'show', *login, uri)
            self.assertIn('lease-secret', self.lease(NO, 'show', uri))
            said = self.lease(GOOD, 'show',
                              target.uri('lease', f'user%{PASSWORD}@'))
            self.assertNotIn(PASSWORD, said)
            self.assertIn('--password-file', said)


class Fence(Command):
    def test_target_that_fences(self):
        with Tgt({'disk': MIB, 'lease': MIB}, io_threads=16) as target:
            with open(target.path('disk'), 'r+b') as file:
                file.write(os.urandom(MIB))
            with open(target.path('disk'), 'rb') as file:
                before = file.read()
            for _ in range(2):          # nobody is shut out by the first
                self.assertIn('fence:       works', self.lease(
                    GOOD, 'check-fence', target.uri('disk')))
            with open(target.path('disk'), 'rb') as file:
                self.assertEqual(file.read(), before)
            self.assertIn('fence:       works', self.lease(
                GOOD, 'check-target', '--generations', '50',
                target.uri('lease')))
            self.lease(GOOD, 'verify', target.uri('lease'))

    def test_target_that_does_not(self):
        with Istgt(LUNS) as target:
            uri = target.uri('lease')
            self.assertRegex(self.lease(NO, 'check-fence', uri),
                             'DOES NOT WORK: its PREEMPT')
            said = self.lease(GOOD, 'check-target', '--generations', '20',
                              '--calm', '--claimers', '2', uri)
            self.assertIn('Fit for a lease', said)
            self.assertIn('DOES NOT WORK', said)
            self.lease(GOOD, 'verify', uri)

    def test_lun_in_use_is_left_alone(self):
        with Tgt({'lease': MIB, 'disk': rom.DISK_MB * MIB}) as target, \
                LunPair(target, target) as pair:
            pair.protect()
            pair.wait_reports(pair.primary, 2)
            self.assertIn('somebody has reserved', self.lease(
                NOT_FOUND_OUT, 'check-fence', target.uri('disk')))
            pair.wait_reports(pair.primary, len(reports(pair.primary)) + 2)
            self.assertEqual(pair.primary.query()['state'], 'protected')
            pair.assert_no_errors()


class Directory(Command):
    def test_life(self):
        with RomPair('counter') as pair:
            uri = f'dir:{pair.lease}'
            self.assertIn('empty', self.lease(GOOD, 'show', uri))
            pair.protect()
            rom.wait_count(pair.primary, 20)
            self.assertIn('link(2)', self.lease(GOOD, 'verify', uri))
            self.assertIn('--force', self.lease(NO, 'format', uri))
            pair.close()
            self.lease(GOOD, 'format', '--force', uri)
            self.assertEqual(os.listdir(pair.lease), [])
            self.assertIn('Fit for a lease', self.lease(
                GOOD, '--check-target', uri, '--generations', '200'))
            self.assertEqual(os.listdir(pair.lease), [])

    def test_wrong_use(self):
        for words in ([], ['show'], ['turn', 'dir:/tmp'], ['show', 'ftp://x'],
                      ['claim', 'dir:/tmp'], ['check-fence', 'dir:/tmp'],
                      ['check-target', '--method', 'bare', 'dir:/tmp']):
            self.lease(NOT_FOUND_OUT, *words)


if __name__ == '__main__':
    unittest.main()
