#!/usr/bin/python3
"""The guest's network: one machine at a time, and it outlives either.

echo.rom answers ARP, ping, UDP 7 (echo) and UDP 8 (how many packets so far).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import socket
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'roms'))

import network_peer as net  # noqa: E402
from ftlib import guest, paths, rom  # noqa: E402
from ftlib.pair import Switch  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import EchoPair, RomPair  # noqa: E402

BOUND_S = 5
TAKEOVER_S = 5
LOST = 4
RARP = b'\x80\x35'
ADDRESS = '10.0.2.15'


class Cable(unittest.TestCase):
    """Each machine's cable ends in a socket of the test's."""

    def test_backup_is_not_on_the_network(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            for number in range(20):
                data = b'hello %d' % number
                # The same to the backup, which must neither take nor answer.
                pair.send(net.udp(rom.MAC_BYTES, 7, b'to the backup'), 'b')
                self.assertIn(data, pair.echo(data))
            self.assertEqual(pair.heard('b'), [])
            pair.primary.qmp.command('x-ft-digest')
            event = pair.backup.qmp.wait_event('FT_DIGEST')
            self.assertTrue(event['data']['equal'])
            self.assertEqual(pair.count(), 20)

    def test_answer_waits_for_the_acknowledgement(self):
        """M5, the Output Rule."""
        with EchoPair(relay=True) as pair:
            pair.protect()
            pair.wait_ready()
            pair.echo(b'warm')
            pair.heard('a')
            pair.relay.tcp.stall('to-client')
            pair.send(net.udp(rom.MAC_BYTES, 7, b'held'))
            wait_for(lambda: pair.primary.query()['held-outputs'] >= 1, 2,
                     'a held output', pair.primary.process)
            self.assertEqual(pair.heard('a'), [])
            pair.relay.tcp.restore()
            frame = pair.ends['a'].recv(65536)
            self.assertEqual(net.Udp(frame).data, b'held')
            wait_for(lambda: not pair.primary.query()['held-outputs'], 2,
                     'that nothing is held', pair.primary.process)

    def test_takeover_announces_and_counts_on(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            for number in range(10):
                pair.echo(b'before %d' % number)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            frame = pair.wait_frame('b', RARP)
            self.assertEqual(frame[:6], net.BROADCAST)
            self.assertEqual(frame[6:12], rom.MAC_BYTES)
            for number in range(10):
                pair.echo(b'after %d' % number, 'b')
            # One guest's count: what the first saw, the second knows.
            self.assertEqual(pair.count('b'), 20)

    def test_stopped_primary_emits_nothing_when_it_wakes(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            pair.echo(b'before')
            pair.heard('a')
            pair.primary.process.signal(signal.SIGSTOP)
            # These wait in its socket, and it finds them when it wakes.
            for number in range(5):
                pair.send(net.udp(rom.MAC_BYTES, 7, b'late %d' % number))
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.echo(b'after', 'b')
            pair.primary.process.signal(signal.SIGCONT)
            self.assertEqual(pair.primary.process.wait(10), LOST)
            self.assertEqual(pair.heard('a'), [])
            self.assertEqual(pair.count('b'), 2)

    def test_primary_alone_does_not_hold(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            pair.echo(b'before')
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            for number in range(10):
                pair.echo(b'after %d' % number)
            self.assertEqual(pair.count(), 11)
            self.assertEqual(pair.primary.query()['held-outputs'], 0)

    def test_paused_guest_answers_nothing(self):
        with EchoPair() as pair:
            pair.protect()
            pair.wait_ready()
            pair.echo(b'before')
            pair.primary.qmp.command('stop')
            for number in range(5):
                pair.send(net.udp(rom.MAC_BYTES, 7, b'lost %d' % number))
            pair.primary.qmp.command('cont')
            pair.echo(b'after')
            pair.primary.qmp.command('x-ft-digest')
            event = pair.backup.qmp.wait_event('FT_DIGEST')
            self.assertTrue(event['data']['equal'])


class Client:
    """Asks the guest's echo port; asks again when no answer comes."""

    def __init__(self, port):
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(0.2)
        self._sock.connect(('127.0.0.1', port))

    def ask(self, data):
        for _ in range(40):
            self._sock.send(data)
            try:
                while self._sock.recv(2048) != data:
                    pass
                return
            except (socket.timeout, ConnectionRefusedError):
                continue
        raise AssertionError(f'no answer to {data!r}')

    def close(self):
        self._sock.close()


class ThroughSwitch(unittest.TestCase):
    def start(self, pair):
        port = paths.free_port()
        pair.switch = Switch(pair.directory, [
            f'udp:127.0.0.1:{port}-{ADDRESS}:7'])
        pair.protect()
        wait_for(lambda: 'echo ready' in rom.text(pair.primary), 20,
                 'that the guest is ready', pair.primary.process)
        client = Client(port)
        self.addCleanup(client.close)
        return client

    def test_echo_outlives_the_primary(self):
        extra = rom.network_options(guest.network_switch('../switch'))
        with RomPair('echo', extra=extra) as pair:
            client = self.start(pair)
            for number in range(30):
                client.ask(b'before %d' % number)
            pair.primary.process.kill()
            for number in range(30):
                client.ask(b'after %d' % number)
            self.assertEqual(pair.backup.query()['state'], 'alone')
            moves = [entry for entry in pair.switch.log()
                     if entry['event'] == 'move' and
                     entry['mac'] == rom.MAC]
            self.assertEqual(len(moves), 1, moves)
            ports = {entry['port']: entry.get('pid') for entry in
                     pair.switch.log() if entry['event'] == 'open'}
            self.assertEqual(ports[moves[0]['port']], pair.backup.pid)
            self.assertEqual(ports[moves[0]['from']], pair.primary.pid)

    def test_echo_outlives_the_backup(self):
        extra = rom.network_options(guest.network_switch('../switch'))
        with RomPair('echo', extra=extra) as pair:
            client = self.start(pair)
            client.ask(b'before')
            pair.backup.process.kill()
            for number in range(30):
                client.ask(b'after %d' % number)
            self.assertEqual(pair.primary.query()['state'], 'alone')

    def test_switch_that_ends_does_not_end_the_guest(self):
        extra = rom.network_options(guest.network_switch('../switch'))
        with RomPair('echo', extra=extra) as pair:
            client = self.start(pair)
            client.ask(b'before')
            pair.switch.process.end()
            wait_for(lambda: pair.primary.query()['held-outputs'] == 0,
                     BOUND_S, 'that nothing is held', pair.primary.process)
            pair.primary.qmp.command('x-ft-digest')
            event = pair.backup.qmp.wait_event('FT_DIGEST')
            self.assertTrue(event['data']['equal'])
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')


if __name__ == '__main__':
    unittest.main()
