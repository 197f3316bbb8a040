#!/usr/bin/python3
"""NMI, serial break and network cable reach both machines (M16).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import socket
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib.process import wait_for  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import EchoPair  # noqa: E402
from ftlib.work import WorkPair  # noqa: E402

TAKEOVER_S = 30
GUEST_S = 60
SILENCE_S = 1
FOLLOWS = 'a backup follows its primary; give the command there'


class HostActions(unittest.TestCase):
    def assert_nmi_and_break(self, machine, nmis, breaks):
        """The guest has seen so many of each, all told."""
        machine.qmp.command('inject-nmi')
        machine.qmp.command('chardev-send-break', id='s0')
        wait_for(lambda: machine.serial().count('NMI received') >= nmis,
                 GUEST_S, f'NMI {nmis} on the guest\'s console',
                 machine.process)
        wait_for(lambda: f' brk:{breaks}' in machine.serial(), GUEST_S,
                 f'break {breaks} of the serial line', machine.process)

    def test_nmi_and_break(self):
        with WorkPair([], ['breaks'], ['-nodefaults']) as pair:
            pair.protect()
            for count in (1, 2):
                self.assert_nmi_and_break(pair.primary, count, count)
                assert_equal_digest(pair.primary, pair.backup, 60)
            for name, arguments in (('inject-nmi', {}),
                                    ('chardev-send-break', {'id': 's0'})):
                with self.assertRaisesRegex(QmpError, FOLLOWS):
                    pair.backup.qmp.command(name, **arguments)
            self.assertIn(FOLLOWS, pair.backup.qmp.hmp('nmi'))
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            # The survivor's guest counts on from what it saw before.
            self.assert_nmi_and_break(pair.backup, 1, 3)

    def assert_silent(self, pair, node):
        pair.heard(node)
        pair.ends[node].settimeout(SILENCE_S)
        with self.assertRaises(socket.timeout):
            pair.echo(b'nobody', node)
        pair.ends[node].settimeout(20)

    def test_cable(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            pair.echo(b'before')
            with self.assertRaisesRegex(QmpError, 'not found'):
                pair.primary.qmp.command('set_link', name='n1', up=False)
            pair.primary.qmp.command('set_link', name='n0', up=False)
            self.assert_silent(pair, 'a')
            assert_equal_digest(pair.primary, pair.backup, 60)
            pair.primary.qmp.command('set_link', name='n0', up=True)
            pair.echo(b'between')
            self.assertEqual(pair.primary.qmp.hmp('set_link n0 off'), '')
            assert_equal_digest(pair.primary, pair.backup, 60)
            with self.assertRaisesRegex(QmpError, FOLLOWS):
                pair.backup.qmp.command('set_link', name='n0', up=True)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assert_silent(pair, 'b')
            pair.backup.qmp.command('set_link', name='n0', up=True)
            pair.echo(b'after', 'b')


if __name__ == '__main__':
    unittest.main()
