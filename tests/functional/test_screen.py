#!/usr/bin/python3
"""A guest that draws in graphics modes and reads keys from VNC (M2).

roms/screen.c goes through four modes of the std VGA; what it draws depends
on the keys and on the instructions at which they came.

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
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rfb import Rfb  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

WAIT_S = 60
TAKEOVER_S = 30
MODES = ['640x480x32', '800x600x16', '640x400x8', '320x200x8']
REPORT = re.compile(r'screen mode=(\S+) frames=(\d+) keys=(\d+) '
                    r'last=([0-9a-f]{2}) checksum=[0-9a-f]{8}')
DISPLAY = ['-vga', 'std', '-vnc', 'unix:vnc']
ESCAPE = 0xff1b
ESCAPE_CODE = '81'              # of its release


def wait_report(machine, test, what):
    def look():
        seen = rom.reports(machine, REPORT)
        return seen and test(seen[-1])
    wait_for(look, WAIT_S, what, machine.process, interval=0.05)


def wait_picture(viewer):
    """Of a mode that was just set the screen is blank for a moment."""
    wait_for(lambda: len(set(viewer.picture())) > 50, WAIT_S,
             'a picture that is not blank')


class Screen(unittest.TestCase):
    def setUp(self):
        self.drawn = 0              # pictures that were not blank

    def wait_mode(self, machine, mode):
        wait_report(machine, lambda report: report[0] == mode,
                    f'mode {mode} of {machine.process.name}')

    def assert_keys(self, machine, viewer, number):
        """Keys from VNC reach the guest, each once."""
        before = int(rom.reports(machine, REPORT)[-1][2])
        viewer.type('guest' * number)
        viewer.key(ESCAPE)
        wait_report(machine, lambda report: report[3] == ESCAPE_CODE and
                    int(report[2]) == before + 5 * number + 1,
                    f'{5 * number + 1} keys beyond {before}')

    def assert_same_picture(self, pair):
        """Both stand at the same instruction, so they show the same."""
        pair.primary.qmp.command('stop')
        wait_for(lambda: pair.backup.qmp.command('query-status')['status']
                 == 'paused', WAIT_S, '"paused"', pair.backup.process)
        pictures = []
        for machine in (pair.primary, pair.backup):
            path = os.path.join(machine.directory, 'screen.ppm')
            machine.qmp.command('screendump', filename=path)
            with open(path, 'rb') as file:
                pictures.append(file.read())
        self.assertTrue(pictures[0] == pictures[1], 'the screens differ')
        if len(set(pictures[0])) > 50:
            self.drawn += 1
        assert_equal_digest(pair.primary, pair.backup, WAIT_S)
        pair.primary.qmp.command('cont')

    def test_graphics_modes_and_keys_from_vnc(self):
        with RomPair('screen', extra=DISPLAY) as pair:
            pair.protect()
            self.wait_mode(pair.primary, MODES[0])
            viewer = Rfb(pair.primary)
            self.addCleanup(viewer.close)
            for number, mode in enumerate(MODES, 1):
                self.wait_mode(pair.primary, mode)
                wait_picture(viewer)
                assert_equal_digest(pair.primary, pair.backup, WAIT_S)
                self.assert_keys(pair.primary, viewer, number)
                self.assert_same_picture(pair)
            self.assertEqual(pair.primary.query()['state'], 'protected')
            self.assertGreater(self.drawn, 0)
            keys = int(rom.reports(pair.primary, REPORT)[-1][2])
            rom.writes_on(pair.primary)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            wait_report(pair.backup, lambda report: True, 'a report')
            self.assertEqual(
                int(rom.reports(pair.backup, REPORT)[-1][2]), keys)
            viewer = Rfb(pair.backup)
            self.addCleanup(viewer.close)
            wait_picture(viewer)
            self.assert_keys(pair.backup, viewer, 2)
            for mode in MODES:
                self.wait_mode(pair.backup, mode)

    def test_keys_at_a_backup_do_nothing(self):
        """Who looks at the backup sees the machine, and can't touch it."""
        with RomPair('screen', extra=DISPLAY) as pair:
            pair.protect()
            self.wait_mode(pair.primary, MODES[0])
            viewer = Rfb(pair.backup)
            self.addCleanup(viewer.close)
            viewer.type('guest')
            wait_picture(viewer)
            self.wait_mode(pair.primary, MODES[1])
            self.assertEqual(rom.reports(pair.primary, REPORT)[-1][2], '0')
            assert_equal_digest(pair.primary, pair.backup, WAIT_S)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            wait_report(pair.backup, lambda report: True, 'a report')
            self.assertEqual(rom.reports(pair.backup, REPORT)[-1][2], '0')


if __name__ == '__main__':
    unittest.main()
