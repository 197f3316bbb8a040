#!/usr/bin/python3
"""The network between the two machines fails while both are alive.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.relay import Relay, begins_with_log  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

# ft/limits.h: 1 s and 1.3 s of silence at most on both paths, 3 s on the log's.
SUSPICION_S = 6
CHANNEL_S = 9
LOST = 4
FAILED = 3


def settle(pair, timeout):
    """Waits until one machine has ended; returns (winner, loser)."""
    def look():
        for winner, loser in ((pair.primary, pair.backup),
                              (pair.backup, pair.primary)):
            if loser.process.poll() is not None:
                return winner, loser
        return None
    return wait_for(look, timeout, 'that one of the two gives up')


class Cut(unittest.TestCase):
    def assert_one_goes_on(self, pair, timeout):
        """Exactly one machine runs on, and the history has no hole."""
        winner, loser = settle(pair, timeout)
        self.assertEqual(loser.process.wait(5), LOST, loser.process.errors())
        self.assertIn(f'"{winner.node}" won generation 2',
                      loser.process.errors())
        status = winner.wait_state('alone', timeout=5)
        self.assertEqual(status['generation'], 2)
        self.assertEqual(status['lease']['owner'], winner.node)
        rom.wait_count(winner, rom.last_count(pair.primary) + 100)
        if winner is pair.primary:
            rom.check_counter(rom.text(pair.primary))
            self.assertEqual(rom.text(pair.backup), '')
        else:
            rom.check_counter(pair.history())
        self.assertEqual(winner.query()['state'], 'alone')
        return winner

    def cut(self, action, timeout, guest='counter'):
        with RomPair(guest, relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            action(pair.relay)
            return self.assert_one_goes_on(pair, timeout)


class WholeLink(Cut):
    def test_silence_both_ways(self):
        self.cut(lambda relay: relay.stall(), SUSPICION_S)

    def test_silence_of_an_idle_guest(self):
        self.cut(lambda relay: relay.stall(), SUSPICION_S, 'counter-halt')

    def test_silence_to_the_backup(self):
        self.cut(lambda relay: relay.stall('to-target'), SUSPICION_S)

    def test_silence_to_the_primary(self):
        self.cut(lambda relay: relay.stall('to-client'), SUSPICION_S)

    def test_reset_seen_by_both_at_once(self):
        for _ in range(3):
            self.cut(lambda relay: relay.cut(), SUSPICION_S)

    def test_link_comes_back_after_the_decision(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.relay.stall()
            for machine in (pair.primary, pair.backup):
                machine.qmp.poll_events()
            wait_for(lambda: any(
                machine.process.poll() is None and
                machine.query()['state'] == 'alone'
                for machine in (pair.primary, pair.backup)),
                SUSPICION_S, 'that one of the two goes on')
            pair.relay.restore()    # what was under way arrives now
            self.assert_one_goes_on(pair, SUSPICION_S)


class OnePath(Cut):
    def test_heartbeats_lost_stays_protected(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            both = (pair.primary, pair.backup)
            wait_for(lambda: all(machine.query()['heartbeats']
                                 for machine in both), 5, 'heartbeats')
            pair.relay.udp.stall()
            wait_for(lambda: not any(machine.query()['heartbeats']
                                     for machine in both), 5,
                     '"heartbeats": false on both sides')
            self.assertIn('do not arrive', pair.primary.qmp.hmp('info ft'))
            # Well past every limit of silence.
            end = time.monotonic() + 4
            while time.monotonic() < end:
                rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
                for machine in both:
                    self.assertEqual(machine.query()['state'], 'protected')
            pair.relay.udp.restore()
            wait_for(lambda: all(machine.query()['heartbeats']
                                 for machine in both), 5,
                     'heartbeats again')
            # And the pair is as good as ever.
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=SUSPICION_S)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 50)

    def test_log_stalled_with_heartbeats(self):
        self.cut(lambda relay: relay.tcp.stall(), CHANNEL_S)

    def test_log_stalled_to_the_backup(self):
        self.cut(lambda relay: relay.tcp.stall('to-target'), CHANNEL_S)

    def test_acknowledgements_stalled(self):
        self.cut(lambda relay: relay.tcp.stall('to-client'), CHANNEL_S)

    def test_stalled_log_holds_outputs(self):
        """M5: without acknowledgements nothing leaves, until it is alone."""
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.relay.tcp.stall('to-client')
            status = wait_for(
                lambda: next((status for status in [pair.primary.query()]
                              if status['held-outputs']), None),
                3, 'held outputs', pair.primary.process)
            self.assertEqual(status['state'], 'protected')
            self.assertGreater(status['held-bytes'], 0)
            quiet = rom.text(pair.primary)
            status = wait_for(
                lambda: next((later for later in [pair.primary.query()]
                              if later['appended'] >
                              status['appended'] + 1000), None),
                3, 'that the guest goes on', pair.primary.process)
            self.assertGreater(status['lag-bytes'], 0)
            self.assertEqual(status['state'], 'protected')
            self.assertEqual(rom.text(pair.primary), quiet)
            pair.relay.tcp.restore()
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))
            self.assertEqual(pair.primary.query()['state'], 'protected')


class BrokenLog(Cut):
    """M26: a damaged log stops the backup, with evidence."""

    def test_damaged_log(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.relay.tcp.damage_log()
            self.assertEqual(pair.backup.process.wait(5), FAILED,
                             pair.backup.process.errors())
            self.assertRegex(pair.backup.process.errors(),
                             'ft: halted: .*frame with a wrong checksum')
            self.assertEqual(rom.text(pair.backup), '')
            status = pair.primary.wait_state('alone', timeout=SUSPICION_S)
            self.assertEqual(status['lease']['owner'], 'a')
            # The primary says what the backup said.
            self.assertEqual(status['reason'], 'peer-failed')
            self.assertEqual(status['cause'], 'peer-failed')
            self.assertRegex(status['text'], 'the backup stopped: .*frame')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))

    def test_flipped_bit_in_an_acknowledgement(self):
        """It costs the primary its backup; closing lets both claim."""
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.relay.tcp.flip('to-client', after=20)
            self.assert_one_goes_on(pair, SUSPICION_S)
            self.assertRegex(pair.primary.process.errors(),
                             'ft: claiming: .*frame')

    def test_kill_within_a_transaction(self):
        """Half a frame is nothing: the backup ends where the whole ones do."""
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            cut = threading.Event()

            def cut_log(data):
                """Ends within a short LOG frame, and stays silent."""
                if cut.is_set():
                    return b''
                if not begins_with_log(data):
                    return data
                cut.set()
                return data[:-3]

            pair.relay.tcp.filter('to-target', cut_log)
            self.assertTrue(cut.wait(5), 'no log came by')
            pair.primary.process.kill()
            pair.relay.cut()
            pair.backup.wait_state('alone', timeout=SUSPICION_S)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            rom.check_counter(pair.history())


class RelayTools(unittest.TestCase):
    def connect(self):
        port = paths.free_port()
        server = socket.create_server(('127.0.0.1', port))
        self.addCleanup(server.close)
        relay = Relay(port)
        self.addCleanup(relay.close)
        client = socket.create_connection(('127.0.0.1', relay.port), 5)
        self.addCleanup(client.close)
        peer, _ = server.accept()
        self.addCleanup(peer.close)
        peer.settimeout(5)
        return relay, client, peer

    def test_flip(self):
        relay, client, peer = self.connect()
        relay.tcp.flip('to-target', after=2)
        client.sendall(b'\0\0\0\0')
        self.assertEqual(peer.recv(4, socket.MSG_WAITALL), b'\0\0\x10\0')

    def test_stall_before(self):
        relay, client, peer = self.connect()
        relay.tcp.stall_before(b'mark', 'to-target')
        client.sendall(b'some ma')
        self.assertEqual(peer.recv(5, socket.MSG_WAITALL), b'some ')
        client.sendall(b'rk and more')
        wait_for(lambda: relay.tcp.stalled, 5, 'the stall')
        relay.tcp.restore()
        self.assertEqual(peer.recv(13, socket.MSG_WAITALL), b'mark and more')


if __name__ == '__main__':
    unittest.main()
