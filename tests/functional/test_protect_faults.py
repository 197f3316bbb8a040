#!/usr/bin/python3
"""A machine that runs is to be protected, and something goes wrong.

Whatever it is, the guest runs on, and query-ft says why it is unprotected.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import socket
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.relay import Relay, frame_start  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

TAKEOVER_S = 30
FAILED = 3
ACK = 5                 # a frame's type: ft/wire.h


def begin_alone(pair):
    pair.start_primary()
    pair.primary.wait_state('connecting')
    pair.primary.qmp.command('ft-stop')
    pair.primary.wait_state('alone')
    rom.wait_count(pair.primary, 50)


class Faults(unittest.TestCase):
    def start_backup(self, pair, listen_port=None):
        """One that waits for a state; returns it and the state's URI."""
        state = os.path.join(pair.directory, f'state-{paths.free_port()}')
        pair.incoming_port = listen_port or paths.free_port()
        backup = pair.start_incoming('b', f'unix:{state}')
        wait_for(lambda: os.path.exists(state), 30, state, backup.process)
        return backup, f'unix:{state}'

    def protect(self, pair, state, port=None):
        pair.primary.qmp.command(
            'ft-protect', peer=f'127.0.0.1:{port or pair.incoming_port}',
            state=state)

    def assert_runs_on(self, pair, reason, words, generation=1):
        """Unprotected for this reason; and it can be protected later."""
        def look():
            status = pair.primary.query()
            return status if status['state'] == 'alone' and re.fullmatch(
                reason, status['reason']) else None
        status = wait_for(look, TAKEOVER_S, f'"alone", for {reason}',
                          pair.primary.process, interval=0.02)
        self.assertRegex(status['text'], words)
        self.assertEqual(status['cause'], status['reason'])
        self.assertEqual(status['lease']['partner'], '')
        self.assertEqual(status['lease']['generation'], generation)
        rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
        self.assertEqual(pair.primary.query()['held-outputs'], 0)
        rom.check_counter(rom.text(pair.primary))

    def assert_can_be_protected(self, pair):
        pair.backup, state = self.start_backup(pair)
        self.protect(pair, state)
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected', timeout=60)
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        rom.wait_count(pair.backup, rom.last_count(pair.primary) + 50)
        rom.check_counter(pair.history())

    def test_backup_with_another_state(self):
        """It was started from power-on: a state is missed, by name."""
        with RomPair('counter') as pair:
            begin_alone(pair)
            pair.start_backup()
            pair.backup.wait_state('listening')
            self.protect(pair, f'file:{pair.directory}/state',
                         pair.listen_port)
            self.assert_runs_on(pair, 'peer-differs',
                                'state: primary [0-9a-f]{16}, backup '
                                'power-on.*-incoming')
            pair.backup.end()
            self.assert_can_be_protected(pair)

    def syncing(self, pair):
        """A backup behind a relay that holds back its acknowledgements.

        The relay is not there at first, so that there is some log to catch
        up with.
        """
        begin_alone(pair)
        listen, port = paths.free_port(), paths.free_port()
        backup, state = self.start_backup(pair, listen)
        self.protect(pair, state, port)
        pair.primary.wait_state('connecting', timeout=60)
        rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
        relay = Relay(listen, port, {'to-client': frame_start(ACK)})
        self.addCleanup(relay.close)
        pair.primary.wait_state('syncing', timeout=60)
        return backup, relay

    def test_backup_killed_while_it_catches_up(self):
        with RomPair('counter') as pair:
            backup, relay = self.syncing(pair)
            self.assertEqual(pair.primary.query()['held-outputs'], 0)
            count = rom.last_count(pair.primary)
            backup.process.kill()
            relay.cut()
            self.assert_runs_on(pair, 'peer-closed', '.')
            self.assertGreater(rom.last_count(pair.primary), count)
            self.assert_can_be_protected(pair)

    def test_channel_silent_while_it_catches_up(self):
        with RomPair('counter') as pair:
            backup, relay = self.syncing(pair)
            relay.stall()
            self.assert_runs_on(pair, 'peer-silent', 'nothing was heard')
            # The backup is not in the record: it stops, and says so.
            relay.cut()
            self.assertEqual(backup.process.wait(20), FAILED)
            self.assertIn('give ft-protect again', backup.process.errors())

    def test_primary_killed_while_the_backup_catches_up(self):
        """It was not protected yet: nobody may run the machine."""
        with RomPair('counter') as pair:
            backup, relay = self.syncing(pair)
            pair.primary.process.kill()
            relay.cut()
            self.assertEqual(backup.process.wait(TAKEOVER_S), FAILED)
            self.assertIn('the lease does not name this machine',
                          backup.process.errors())
            self.assertEqual(rom.text(backup), '')

    def test_broken_log_while_it_catches_up(self):
        with RomPair('counter') as pair:
            backup, relay = self.syncing(pair)
            relay.tcp.damage_log()
            self.assertEqual(backup.process.wait(TAKEOVER_S), FAILED)
            self.assertIn('ft: halted:', backup.process.errors())
            relay.restore()
            # What it said may be lost with what was held back.
            self.assert_runs_on(pair, 'peer-(failed|closed)', '.')

    def test_stopped_by_a_person(self):
        with RomPair('counter') as pair:
            backup, relay = self.syncing(pair)
            with self.assertRaisesRegex(QmpError, 'runs alone'):
                self.protect(pair, 'file:state')
            pair.primary.qmp.command('ft-stop')
            self.assert_runs_on(pair, 'unpaired', 'stopped the protection')
            self.assertEqual(backup.process.wait(20), 0,
                             backup.process.errors())
            self.assert_can_be_protected(pair)

    def test_nobody_takes_the_state(self):
        with RomPair('counter') as pair:
            begin_alone(pair)
            end = socket.socket(socket.AF_UNIX)
            self.addCleanup(end.close)
            path = os.path.join(pair.directory, 'state-end')
            end.bind(path)
            end.listen(1)
            pair.incoming_port = paths.free_port()
            self.protect(pair, f'unix:{path}')
            end.accept()[0].close()
            wait_for(lambda: pair.primary.query()['reason'] ==
                     'protect-failed', 30, 'that it says so',
                     pair.primary.process)
            self.assertEqual(pair.primary.query()['state'], 'alone')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            os.unlink(path)
            self.assert_can_be_protected(pair)


if __name__ == '__main__':
    unittest.main()
