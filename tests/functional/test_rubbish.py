#!/usr/bin/python3
"""Peers that send what no peer sends: an error in words, and no harm.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import signal
import socket
import struct
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.wire import (  # noqa: E402
    ACK, END, HELLO, LOG, PAIRED, frame, heartbeat)

BOUND_S = 5
TAKEOVER_S = 5
HANDSHAKE_S = 10            # ft/limits.h
HTTP = b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.ljust(64, b' ')


def rubbish(rng):
    """Name, bytes, and what the line that reports it says."""
    return [
        ('zeros', bytes(64), 'no frame'),
        ('random', rng.randbytes(5000), 'no frame'),
        ('http', HTTP, 'no frame'),
        ('version', frame(HELLO, version=99), 'version'),
        ('type', frame(77), 'unknown type'),
        ('flags', frame(HELLO, flags=0x80), 'flags'),
        ('huge', frame(HELLO, length=0xffffffff), 'longer'),
        ('huge log', frame(LOG, length=0x7fffffff), 'longer'),
        ('checksum', frame(HELLO, b'node=x\n', spoil=1), 'checksum'),
        ('payload', frame(HELLO, b'node=x\n')[:-1] + b'!', 'checksum'),
        ('log first', frame(LOG, b'x'), 'another session'),
        ('paired first', frame(PAIRED, bytes(512)), 'another session'),
        ('end first', frame(END), 'another session'),
        ('empty hello', frame(HELLO), 'HELLO'),
        ('no text', frame(HELLO, b'\xff\xfe\0\1'), 'HELLO'),
        ('no session', frame(HELLO, b'node=x\n', session=0), 'HELLO'),
        ('no node', frame(HELLO, b'a=b\n'), 'HELLO'),
        ('long node', frame(HELLO, b'node=' + b'x' * 1000 + b'\n'), 'HELLO'),
    ]


def truncated():
    """What ends too early, said by closing."""
    whole = frame(HELLO, b'node=x\n' * 100)
    return [('nothing', b''), ('a byte', whole[:1]),
            ('half a header', whole[:30]), ('a header', whole[:48]),
            ('half a payload', whole[:300])]


def connect(pair):
    return socket.create_connection(('127.0.0.1', pair.listen_port), BOUND_S)


def read_to_end(sock):
    """All that the other side sends until it closes."""
    sock.settimeout(BOUND_S)
    data = b''
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


class ToBackup(unittest.TestCase):
    def setUp(self):
        seed = random.SystemRandom().randrange(1 << 32)
        print(f'# seed {seed}')
        self.rng = random.Random(seed)

    def assert_pairs(self, pair):
        pair.start_primary()
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        rom.wait_count(pair.primary, 50)
        rom.check_counter(rom.text(pair.primary))

    def wait_listening(self, pair, words):
        def look():
            status = pair.backup.query()
            return status['state'] == 'listening' and words in status['text']
        wait_for(look, BOUND_S, f'"{words}" in the text of query-ft',
                 pair.backup.process)

    def test_while_it_waits(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.backup.wait_state('listening')
            for name, data, words in rubbish(self.rng):
                with self.subTest(name):
                    with connect(pair) as sock:
                        sock.sendall(data)
                        read_to_end(sock)
                    self.wait_listening(pair, words)
                    self.assertIn(words, pair.backup.process.errors())
            for name, data in truncated():
                with self.subTest(name):
                    with connect(pair) as sock:
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                        read_to_end(sock)
                    self.wait_listening(pair, 'closed')
            # What it says of a peer is one line of text without tricks.
            with connect(pair) as sock:
                sock.sendall(frame(HELLO, b'node=x\nvm.uuid=\x1b[2J\n'))
                self.assertIn(b'peer-differs', read_to_end(sock))
            self.wait_listening(pair, 'vm.uuid')
            self.assertNotIn('\x1b', pair.backup.process.errors())
            self.assert_pairs(pair)

    def test_silent_connection_does_not_block_it_for_long(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.backup.wait_state('listening')
            with connect(pair):
                pair.backup.wait_state('handshake')
                pair.start_primary()
                for machine in (pair.primary, pair.backup):
                    machine.wait_state('protected', timeout=HANDSHAKE_S + 5)
                self.assertIn('did not say HELLO in time',
                              pair.backup.process.errors())

    def test_while_protected(self):
        with RomPair('counter') as pair:
            pair.protect()
            for name, data, _ in rubbish(self.rng):
                with self.subTest(name), connect(pair) as sock:
                    try:
                        sock.sendall(data)
                    except ConnectionError:
                        pass
                    answer = read_to_end(sock)
                    if answer:      # a reset may overtake it
                        self.assertIn(b'peer-busy: this backup is paired',
                                      answer)
            open_for_long = [connect(pair) for _ in range(50)]
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')
            count = rom.last_count(pair.primary)
            rom.wait_count(pair.primary, count + 100)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            rom.check_counter(pair.history())
            for sock in open_for_long:
                sock.close()

    def test_datagrams(self):
        with RomPair('counter') as pair:
            pair.protect()
            end = threading.Event()
            datagrams = [b'', b'x', bytes(56), self.rng.randbytes(56),
                         self.rng.randbytes(9000), HTTP, heartbeat(1),
                         heartbeat(2, role=2), heartbeat(1)[:-1] + b'!']

            def send():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    while not end.wait(0.01):
                        for data in datagrams:
                            sock.sendto(data, ('127.0.0.1',
                                               pair.listen_port))
            sender = threading.Thread(target=send)
            sender.start()
            try:
                rom.wait_count(pair.primary,
                               rom.last_count(pair.primary) + 200)
                for machine in (pair.primary, pair.backup):
                    self.assertEqual(machine.query()['state'], 'protected')
                    wait_for(lambda m=machine: m.query()['heartbeats'],
                             BOUND_S, 'heartbeats between the rubbish')
                # A stranger's heartbeats are no sign of the primary's life.
                pair.primary.process.signal(signal.SIGSTOP)
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                rom.wait_count(pair.backup,
                               rom.last_count(pair.primary) + 50)
            finally:
                end.set()
                sender.join()


class ToPrimary(unittest.TestCase):
    """The primary connects to something that is no backup."""

    def serve(self, pair, data):
        with socket.create_server(('127.0.0.1', pair.listen_port)) as server:
            server.settimeout(BOUND_S)
            sock, _ = server.accept()
            with sock:
                sock.settimeout(BOUND_S)
                start = sock.recv(48)
                self.assertEqual(start[:8], frame(HELLO)[:8])
                session = struct.unpack_from('<Q', start, 16)[0]
                sock.sendall(data(session))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass

    def test_before_the_guest_begins(self):
        cases = [
            (lambda session: HTTP, 'no frame'),
            (lambda session: frame(HELLO, b'node=x\n', session + 1),
             'another session'),
            (lambda session: frame(HELLO, b'\xff', session), 'HELLO'),
            (lambda session: frame(ACK, bytes(16), session),
             'does not expect'),
            (lambda session: frame(LOG, b'x', session), 'does not expect'),
            (lambda session: frame(HELLO, b'node=x\n', session)[:50],
             'closed'),
            (lambda session: b'', 'closed'),
        ]
        with RomPair('counter') as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            for data, words in cases:
                with self.subTest(words):
                    self.serve(pair, data)
                    wait_for(lambda w=words:
                             w in pair.primary.process.errors(), BOUND_S,
                             f'"{words}" in the errors',
                             pair.primary.process)
                    status = pair.primary.wait_state('connecting')
                    self.assertEqual(status['lease']['partner'], '')
            self.assertEqual(rom.text(pair.primary), '')
            pair.start_backup()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')
            rom.wait_count(pair.primary, 50)


if __name__ == '__main__':
    unittest.main()
