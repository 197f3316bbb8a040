#!/usr/bin/python3
"""ft-switch with ports that only pretend to be QEMUs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import FtTimeout, paths  # noqa: E402
from ftlib.pair import Switch  # noqa: E402
from ftlib.process import wait_for  # noqa: E402

BROADCAST = b'\xff' * 6
MAC_A = bytes.fromhex('525400000001')
MAC_B = bytes.fromhex('525400000002')
HOST_MAC = bytes.fromhex('52550a000202')
HOST_IP = bytes([10, 0, 2, 2])
GUEST_IP = bytes([10, 0, 2, 15])
BOUND = 5
SYN_BOUND = 20              # libslirp sends its SYN again after 6 s


def frame(to, source, payload=b'', kind=0x88b5):
    return to + source + struct.pack('!H', kind) + payload.ljust(46, b'\0')


class FakePort:
    """A socket that frames as QEMU does."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(BOUND)
        self.sock.connect(path)
        self._buffer = b''

    def send(self, data):
        self.sock.sendall(struct.pack('!I', len(data)) + data)

    def receive(self):
        """The next frame, or None when the switch closed the port."""
        while True:
            if len(self._buffer) >= 4:
                size = struct.unpack('!I', self._buffer[:4])[0]
                if len(self._buffer) >= 4 + size:
                    data = self._buffer[4:4 + size]
                    self._buffer = self._buffer[4 + size:]
                    return data
            try:
                more = self.sock.recv(65536)
            except socket.timeout:
                raise FtTimeout('no frame came') from None
            except ConnectionResetError:
                return None
            if not more:
                return None
            self._buffer += more

    def receive_kind(self, kind):
        """The next frame of an Ethernet type; others are passed over."""
        while True:
            data = self.receive()
            if data is None or data[12:14] == struct.pack('!H', kind):
                return data

    def close(self):
        self.sock.close()


class SwitchTest(unittest.TestCase):

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix='ft-switch-')
        self.addCleanup(shutil.rmtree, self.directory)
        self.forward_port = paths.free_port()
        self.switch = Switch(self.directory, [
            f'tcp:127.0.0.1:{self.forward_port}-10.0.2.15:7'])
        self.addCleanup(self.switch.process.end)

    def plug(self):
        """A port that is known to the switch."""
        before = self.count('open')
        port = FakePort(self.switch.socket)
        self.addCleanup(port.close)
        wait_for(lambda: self.count('open') > before, BOUND, 'a port')
        return port

    def events(self, name):
        return [entry for entry in self.switch.log()
                if entry['event'] == name]

    def count(self, name):
        return len(self.events(name))

    def test_frames_follow_an_address_that_moves(self):
        """What a dead machine had not read, and what came before its backup
        was there, in order; and once."""
        a, b, c = self.plug(), self.plug(), self.plug()
        a.send(frame(BROADCAST, MAC_A))
        b.receive()
        c.receive()
        sent = [frame(MAC_A, MAC_B, b'%d' % number) for number in range(40)]
        for data in sent[:38]:
            c.send(data)
        for data in sent[:38]:
            self.assertEqual(a.receive(), data)
        closed = self.count('close')
        a.close()
        wait_for(lambda: self.count('close') > closed, BOUND, 'it to close')
        for data in sent[38:]:
            c.send(data)
            self.assertEqual(b.receive(), data)     # to every port
        b.send(frame(BROADCAST, MAC_A))
        for data in sent[-32:]:
            self.assertEqual(b.receive(), data)
        c.send(sent[0])
        self.assertEqual(b.receive(), sent[0])

    def test_broadcast_reaches_every_other_port(self):
        a, b, c = self.plug(), self.plug(), self.plug()
        sent = frame(BROADCAST, MAC_A, b'hello')
        a.send(sent)
        self.assertEqual(b.receive(), sent)
        self.assertEqual(c.receive(), sent)
        # and not back: the next thing a sees is what b says to it
        answer = frame(MAC_A, MAC_B, b'answer')
        b.send(answer)
        self.assertEqual(a.receive(), answer)

    def test_unicast_reaches_its_port_only(self):
        a, b, c = self.plug(), self.plug(), self.plug()
        b.send(frame(BROADCAST, MAC_B, b'here is b'))
        a.receive()
        c.receive()
        a.send(frame(MAC_B, MAC_A, b'private'))
        a.send(frame(BROADCAST, MAC_A, b'public'))
        self.assertIn(b'private', b.receive())
        self.assertIn(b'public', c.receive())

    def test_mac_moves_to_the_port_that_used_it_last(self):
        primary, backup, other = self.plug(), self.plug(), self.plug()
        primary.send(frame(BROADCAST, MAC_A, b'primary'))
        other.receive()
        backup.send(frame(BROADCAST, MAC_A, b'announced'))
        other.receive()
        sent = frame(MAC_A, MAC_B, b'to the new one')
        other.send(sent)
        backup_saw = [backup.receive(), backup.receive()]
        self.assertEqual(backup_saw[1], sent)
        move = self.events('move')[0]
        self.assertEqual((move['mac'], move['from'], move['port']),
                         ('52:54:00:00:00:01', 1, 2))

    def test_frames_for_a_closed_port_go_everywhere(self):
        primary, backup, other = self.plug(), self.plug(), self.plug()
        primary.send(frame(BROADCAST, MAC_A))
        backup.receive()
        other.receive()
        primary.close()
        wait_for(lambda: self.count('close'), BOUND, 'the port to close')
        sent = frame(MAC_A, MAC_B, b'anybody?')
        other.send(sent)
        self.assertEqual(backup.receive(), sent)

    def test_rubbish_closes_that_port_only(self):
        for prefix in (b'\0\0\0\0', b'\0\1\0\0', b'\xff\xff\xff\xff'):
            with self.subTest(prefix=prefix):
                a, b, bad = self.plug(), self.plug(), self.plug()
                bad.sock.sendall(prefix + b'x' * 100)
                self.assertIsNone(bad.receive())
                sent = frame(BROADCAST, MAC_A, b'still here')
                a.send(sent)
                self.assertEqual(b.receive(), sent)
        errors = self.switch.process.errors()
        self.assertIn('a frame of 65536 bytes was announced', errors)
        self.assertIn('a frame of 0 bytes was announced', errors)

    def test_runt_frame_is_dropped(self):
        a, b = self.plug(), self.plug()
        a.send(b'short')
        sent = frame(BROADCAST, MAC_A, b'next')
        a.send(sent)
        self.assertEqual(b.receive(), sent)

    def test_largest_frame_passes_in_pieces(self):
        a, b = self.plug(), self.plug()
        sent = frame(BROADCAST, MAC_A, os.urandom(65535 - 14))
        raw = struct.pack('!I', len(sent)) + sent
        a.sock.sendall(raw[:3])
        a.sock.sendall(raw[3:1000])
        a.sock.sendall(raw[1000:])
        self.assertEqual(b.receive(), sent)

    def test_stuck_port_does_not_block_others(self):
        sender, stuck, good = self.plug(), self.plug(), self.plug()
        big = frame(BROADCAST, MAC_A, b'x' * 9000)
        number = 1000               # 9 MB: many times what a port may queue
        for _ in range(number):
            sender.send(big)
            self.assertEqual(good.receive(), big)
        # stuck has not read: it gets the first ones, whole, then a gap
        stuck.sock.setblocking(False)
        sender.send(frame(BROADCAST, MAC_A, b'', kind=0x88b6))
        good.receive_kind(0x88b6)
        self.switch.process.signal(signal.SIGUSR1)
        wait_for(lambda: self.count('stats') >= 4, BOUND, 'the counters')
        stats = {entry['port']: entry for entry in self.events('stats')}
        self.assertEqual(stats[3]['tx-drops'], 0)
        self.assertGreater(stats[2]['tx-drops'], 0)
        self.assertEqual(stats[2]['tx-drops'] + stats[2]['tx-frames'],
                         number + 1)
        stuck.sock.settimeout(BOUND)
        for _ in range(20):
            self.assertEqual(stuck.receive(), big)

    def ask_arp(self, port, mac):
        """The host's answer to 'who has 10.0.2.2'."""
        request = (struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + mac + GUEST_IP
                   + b'\0' * 6 + HOST_IP)
        port.send(frame(BROADCAST, mac, request, kind=0x806))
        return port.receive_kind(0x806)

    def test_uplink_answers(self):
        answer = self.ask_arp(self.plug(), MAC_A)
        self.assertEqual(answer[6:12], HOST_MAC)
        self.assertEqual(answer[28:32], HOST_IP)

    def test_forward_follows_the_mac(self):
        """A connection's segments go on to the port that took the MAC."""
        primary, backup = self.plug(), self.plug()
        self.ask_arp(primary, MAC_A)
        client = socket.create_connection(('127.0.0.1', self.forward_port),
                                          BOUND)
        self.addCleanup(client.close)
        syn = primary.receive_kind(0x800)
        self.assertEqual(syn[0:6], MAC_A)
        self.assertEqual(syn[36:38], struct.pack('!H', 7))
        primary.close()
        self.ask_arp(backup, MAC_A)
        backup.sock.settimeout(SYN_BOUND)
        again = backup.receive_kind(0x800)
        self.assertEqual(again[34:42], syn[34:42])

    def test_term_ends_it_clean(self):
        self.plug()
        self.switch.process.signal(signal.SIGTERM)
        self.assertEqual(self.switch.process.wait(BOUND), 0)
        self.assertFalse(os.path.exists(self.switch.socket))
        self.assertEqual(self.switch.process.errors(), '')


class SwitchStartTest(unittest.TestCase):

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix='ft-switch-')
        self.addCleanup(shutil.rmtree, self.directory)
        self.socket = os.path.join(self.directory, 's')

    def complaint(self, *options):
        done = subprocess.run([paths.ft_switch(), *options], text=True,
                              capture_output=True, timeout=BOUND)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        return done.stderr

    def test_wrong_options(self):
        self.assertIn('--socket PATH is missing', self.complaint())
        self.assertIn('see --help', self.complaint('--sokket', 'x'))
        self.assertIn('is not an option', self.complaint('-s', 'x', 'y'))
        self.assertIn('shorter', self.complaint('-s', '/tmp/' + 'x' * 200))
        for rule in ('', 'tcp', 'tcp:1-2', 'sctp:127.0.0.1:1-10.0.2.15:1',
                     'tcp:127.0.0.1:0-10.0.2.15:1',
                     'tcp:127.0.0.1:70000-10.0.2.15:1'):
            self.assertIn('is not a forward',
                          self.complaint('-s', self.socket, '-f', rule))
        self.assertIn("can't open", self.complaint(
            '-s', self.socket, '-l', '/nowhere/log'))

    def test_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
            text = self.complaint('-s', self.socket, '-f',
                                  f'tcp:127.0.0.1:{port}-10.0.2.15:1')
        self.assertIn('choose another', text)

    def test_socket_in_use(self):
        switch = Switch(self.directory, [])
        self.addCleanup(switch.process.end)
        self.assertIn('another process listens',
                      self.complaint('-s', switch.socket))

    def test_path_that_is_no_socket(self):
        with open(self.socket, 'w', encoding='ascii') as file:
            file.write('precious')
        self.assertIn('is no socket', self.complaint('-s', self.socket))
        with open(self.socket, encoding='ascii') as file:
            self.assertEqual(file.read(), 'precious')

    def test_socket_left_by_a_killed_switch(self):
        first = Switch(self.directory, [])
        first.process.kill()
        first.process.wait(BOUND)
        self.assertTrue(os.path.exists(first.socket))
        second = Switch(self.directory, [])
        self.addCleanup(second.process.end)
        FakePort(second.socket).close()


if __name__ == '__main__':
    unittest.main()
