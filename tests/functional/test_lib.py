#!/usr/bin/python3
"""The tests' own tools: a link that lies makes every fault test worthless.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import socket
import sys
import time
import threading
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'demo'))

from ftlib import FtError, netns, paths  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.relay import Relay  # noqa: E402

from load import Load  # noqa: E402

BOUND = 5
SILENCE = 0.3               # long enough for loopback to have delivered


class RelayTest(unittest.TestCase):

    def setUp(self):
        self.target_port = paths.free_port()
        self.server = socket.create_server(('127.0.0.1', self.target_port))
        self.server.settimeout(BOUND)
        self.addCleanup(self.server.close)
        self.udp_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp_server.bind(('127.0.0.1', self.target_port))
        self.udp_server.settimeout(BOUND)
        self.addCleanup(self.udp_server.close)
        self.relay = Relay(self.target_port)
        self.addCleanup(self.relay.close)

    def connect(self):
        client = socket.create_connection(('127.0.0.1', self.relay.port),
                                          BOUND)
        self.addCleanup(client.close)
        peer, _ = self.server.accept()
        peer.settimeout(BOUND)
        self.addCleanup(peer.close)
        return client, peer

    def assert_silent(self, sock):
        sock.settimeout(SILENCE)
        with self.assertRaises(socket.timeout):
            sock.recv(1)
        sock.settimeout(BOUND)

    def read(self, sock, size):
        data = b''
        while len(data) < size:
            more = sock.recv(size - len(data))
            self.assertTrue(more, 'closed early')
            data += more
        return data

    def test_tcp_passes_both_ways_and_closes(self):
        client, peer = self.connect()
        blob = os.urandom(3 * 1024 * 1024)
        sender = threading.Thread(target=client.sendall, args=(blob,))
        sender.start()
        self.assertEqual(self.read(peer, len(blob)), blob)
        sender.join()
        peer.sendall(b'answer')
        self.assertEqual(self.read(client, 6), b'answer')
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.recv(1), b'')
        peer.sendall(b'last')       # half-closed is not closed
        self.assertEqual(self.read(client, 4), b'last')
        peer.close()
        self.assertEqual(client.recv(1), b'')

    def test_tcp_stall_is_silence_then_delivery(self):
        client, peer = self.connect()
        self.relay.tcp.stall()
        client.sendall(b'one')
        peer.sendall(b'two')
        self.assert_silent(peer)
        self.assert_silent(client)
        self.relay.tcp.restore()
        self.assertEqual(self.read(peer, 3), b'one')
        self.assertEqual(self.read(client, 3), b'two')

    def test_tcp_stall_hides_a_close(self):
        client, peer = self.connect()
        self.relay.tcp.stall()
        client.close()
        self.assert_silent(peer)
        self.relay.tcp.restore()
        self.assertEqual(peer.recv(1), b'')

    def test_tcp_stall_of_one_direction(self):
        client, peer = self.connect()
        self.relay.tcp.stall('to-target')
        peer.sendall(b'back')
        self.assertEqual(self.read(client, 4), b'back')
        client.sendall(b'forth')
        self.assert_silent(peer)

    def test_tcp_cut_resets_and_refuses_until_restored(self):
        client, peer = self.connect()
        self.relay.tcp.cut()
        for sock in (client, peer):
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', self.relay.port), BOUND)
        self.relay.tcp.restore()
        client, peer = self.connect()
        client.sendall(b'again')
        self.assertEqual(self.read(peer, 5), b'again')

    def test_udp_passes_both_ways_to_each_client(self):
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                   for _ in range(2)]
        for number, client in enumerate(clients):
            self.addCleanup(client.close)
            client.settimeout(BOUND)
            client.sendto(b'%d' % number, ('127.0.0.1', self.relay.port))
            data, address = self.udp_server.recvfrom(100)
            self.assertEqual(data, b'%d' % number)
            self.udp_server.sendto(b'to %d' % number, address)
            self.assertEqual(client.recv(100), b'to %d' % number)

    def test_udp_stall_drops_and_leaves_tcp_alone(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        self.relay.udp.stall()
        udp.sendto(b'lost', ('127.0.0.1', self.relay.port))
        self.assert_silent(self.udp_server)
        client, peer = self.connect()
        client.sendall(b'x')
        self.assertEqual(self.read(peer, 1), b'x')
        self.relay.udp.restore()
        udp.sendto(b'found', ('127.0.0.1', self.relay.port))
        self.assertEqual(self.udp_server.recv(100), b'found')

    def test_throttle(self):
        client, peer = self.connect()
        self.relay.tcp.throttle(100_000)
        begun = time.monotonic()
        client.sendall(bytes(50_000))
        self.read(peer, 50_000)
        self.assertGreater(time.monotonic() - begun, 0.3)
        self.relay.tcp.throttle(None)
        client.sendall(bytes(1_000_000))
        self.assertEqual(len(self.read(peer, 1_000_000)), 1_000_000)
        self.relay.tcp.throttle(1)
        client.sendall(b'late')
        self.assert_silent(peer)
        self.relay.tcp.throttle(None)
        self.assertEqual(self.read(peer, 4), b'late')

    def test_target_that_is_not_there(self):
        self.server.close()
        with self.assertRaises(ConnectionResetError):
            with socket.create_connection(('127.0.0.1', self.relay.port),
                                          BOUND) as client:
                client.recv(1)


@unittest.skipIf(netns.usable(), netns.usable())
class LanTest(unittest.TestCase):

    PROBE = ('import socket\n'
             'try: socket.create_connection(("10.77.0.1", 9), 0.5)\n'
             'except OSError as error: print(type(error).__name__)')

    def test_cable_and_removal(self):
        with netns.Lan() as lan:
            lan.host('a', '10.77.0.1/24', tap='ft0')
            b = lan.host('b', '10.77.0.2/24')

            def answer():
                return b.run(sys.executable, '-c', self.PROBE).stdout.strip()

            wait_for(lambda: answer() == 'ConnectionRefusedError', BOUND,
                     'the cable to work')
            lan.unplug(b)
            self.assertEqual(answer(), 'TimeoutError')
            lan.replug(b)
            wait_for(lambda: answer() == 'ConnectionRefusedError', BOUND,
                     'the cable to work again')
            name = b.namespace
        self.assertFalse(os.path.exists(f'/run/netns/{name}'))


class FakeRedis(threading.Thread):
    """Acknowledges every write; forgets or garbles one if told to."""

    def __init__(self, forget=None, garble=None, close_after=None):
        super().__init__(daemon=True)
        self._server = socket.create_server(('127.0.0.1', 0))
        self.port = self._server.getsockname()[1]
        self._forget, self._garble = forget, garble
        self._close_after = close_after
        self._keys = {}

    def run(self):
        with self._server:
            conn, _ = self._server.accept()
        with conn, conn.makefile('rb') as lines:
            while True:
                head = lines.readline()
                if not head or len(self._keys) == self._close_after:
                    return
                words = []
                for _ in range(int(head[1:])):
                    size = int(lines.readline()[1:])
                    words.append(lines.read(size + 2)[:-2])
                conn.sendall(self._answer(words))

    def _answer(self, words):
        if words[0] == b'SET':
            number = len(self._keys)
            self._keys[words[1]] = words[2] + (b'x' if number == self._garble
                                               else b'')
            if number == self._forget:
                self._keys[words[1]] = None
            return b'+OK\r\n'
        values = [self._keys.get(key) for key in words[1:]]
        return b'*%d\r\n' % len(values) + b''.join(
            b'$-1\r\n' if value is None
            else b'$%d\r\n%s\r\n' % (len(value), value) for value in values)


class LoadTest(unittest.TestCase):
    """The demo's verdict has to notice what it is there to notice."""

    def run_load(self, **faults):
        server = FakeRedis(**faults)
        server.start()
        load = Load(server.port, seed=1)
        self.addCleanup(load.close)
        load.start()
        wait_for(lambda: len(load.acks) > 600 or load.error, BOUND, 'writes')
        load.stop()
        return load

    def test_all_found(self):
        load = self.run_load()
        self.assertEqual(load.check(), {'found': len(load.acks), 'lost': 0,
                                        'wrong': 0})

    def test_one_forgotten(self):
        load = self.run_load(forget=501)
        self.assertEqual(load.check()['lost'], 1)

    def test_one_garbled(self):
        load = self.run_load(garble=0)
        self.assertEqual(load.check()['wrong'], 1)

    def test_closed_connection_is_an_error(self):
        load = self.run_load(close_after=50)
        self.assertIn('redis: the connection', load.error)
        self.assertEqual(len(load.acks), 50)

    def test_blackout_is_the_longest_gap_from_the_kill_on(self):
        load = self.run_load()
        load.acks = [0.0, 3.0, 3.1, 3.2, 4.2, 4.3]
        self.assertEqual(load.blackout(3.15), (3.2, 4.2))
        self.assertEqual(load.blackout(3.5), (3.2, 4.2))
        with self.assertRaises(FtError):
            load.blackout(5.0)


if __name__ == '__main__':
    unittest.main()
