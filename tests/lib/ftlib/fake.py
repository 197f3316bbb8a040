"""One half of a pair, played by a test.

    log = record(pair, 3000)                # a real primary's log so far
    with FakePrimary(pair, log.hello) as fake:
        fake.send_log(log.data)             # the real backup follows it
        fake.wait_failed()

A fake pairs as the protocol asks for, and then does what the test wants.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import socket
import threading

from . import FtError, wire
from .process import take_precedence, wait_for

SESSION = 77
APART = 'apart.'             # lines that both sides must have otherwise
BOUND_S = 20


def hello_value(hello, key):
    for line in hello.decode().split('\n'):
        if line.startswith(key + '='):
            return line[len(key) + 1:]
    raise FtError(f'no {key} in the HELLO {hello[:200]}')


def hello_as(hello, node):
    """The same VM's HELLO, said by another node with disks of its own."""
    lines = [f'node={node}' if line.startswith('node=')
             else f'{line}.{node}' if line.startswith(APART) else line
             for line in hello.decode().split('\n')]
    return '\n'.join(lines).encode()


class _Fake:
    def __init__(self, sock):
        sock.settimeout(BOUND_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._stream, self._frames = wire.Stream(), []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = []

    def _start(self, run):
        def run_in_time():
            take_precedence()       # or it is silent for too long
            run()
        thread = threading.Thread(target=run_in_time, daemon=True)
        self._threads.append(thread)
        thread.start()

    def send(self, data):
        with self._lock:
            self.sock.sendall(data)

    def read(self):
        """The next frame; None when the other side has closed."""
        while not self._frames:
            try:
                data = self.sock.recv(1 << 16)
            except OSError as error:
                if self._end.is_set() or isinstance(error, ConnectionError):
                    return None
                raise
            if not data:
                return None
            self._frames = self._stream.feed(data)
        return wire.split_frame(self._frames.pop(0))

    def expect(self, kind):
        frame = self.read()
        while frame and frame[0] == wire.KEEPALIVE:
            frame = self.read()
        if not frame or frame[0] != kind:
            raise FtError(f'instead of a frame of type {kind}: {frame}')
        return frame

    def close(self):
        self._end.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass                    # the other side was first
        self.sock.close()
        for thread in self._threads:
            thread.join(BOUND_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FakeBackup(_Fake):
    """Takes and acknowledges what a real primary sends."""

    def __init__(self, pair, node='b'):
        with socket.create_server(('127.0.0.1',
                                   pair.listen_port)) as server:
            server.settimeout(BOUND_S)
            sock, _ = server.accept()
        super().__init__(sock)
        self.data = bytearray()     # the log
        self._whole = 0             # bytes of whole transactions
        _, _, self.session, self.generation, _, self.hello = \
            self.expect(wire.HELLO)
        self.send(wire.frame(wire.HELLO, hello_as(self.hello, node),
                             self.session, generation=self.generation))
        self._start(self._take)
        self._start(self._keep_alive)

    @property
    def log(self):
        return bytes(self.data[:self._whole])

    def _executed(self):
        return self._whole

    def _acknowledge(self):
        with self._lock:            # two threads: a position never goes back
            self.sock.sendall(wire.ack(self._whole, self.session,
                                       self.generation,
                                       executed=self._executed()))

    def _take(self):
        try:
            while frame := self.read():
                kind, flags, _, _, _, payload = frame
                if kind == wire.LOG:
                    self.data += payload
                    if not flags & wire.MORE:
                        self._whole = len(self.data)
                        self._acknowledge()
        except OSError:
            pass                    # closed meanwhile

    def _keep_alive(self):
        try:
            while not self._end.wait(0.1):
                self._acknowledge()
        except OSError:
            pass


class FakePrimary(_Fake):
    """Pairs with a real backup; the lease's storage is not touched."""

    def __init__(self, pair, hello, node='a'):
        super().__init__(socket.create_connection(
            ('127.0.0.1', pair.listen_port), BOUND_S))
        self.position = 0
        self.failed = None          # why the backup says it stopped
        self.executed = self.acknowledged = 0
        self._ended = threading.Event()
        self._send(wire.HELLO, hello_as(hello, node))
        answer = self.expect(wire.HELLO)[5]
        self._send(wire.PAIRED, wire.lease_record(
            bytes.fromhex(hello_value(hello, 'vm.uuid')), node,
            hello_value(answer, 'node')))
        self._start(self._take)
        self._start(self._keep_alive)

    def _send(self, kind, payload=b'', flags=0, position=0):
        self.send(wire.frame(kind, payload, SESSION, flags=flags,
                             position=position))

    def send_log(self, data):
        """One transaction, of as many frames as it takes."""
        try:
            for at in range(0, len(data), wire.PAYLOAD_MAX):
                part = data[at:at + wire.PAYLOAD_MAX]
                more = at + len(part) < len(data)
                with self._lock:
                    position = self.position
                    self.position += len(part)
                    self.sock.sendall(wire.frame(
                        wire.LOG, part, SESSION, position=position,
                        flags=wire.MORE if more else 0))
        except ConnectionError:
            pass                    # it has had enough

    def send_end(self, flags=0):
        try:
            self._send(wire.END, flags=flags, position=self.position)
        except ConnectionError:
            pass

    def _take(self):
        while frame := self.read():
            if frame[0] == wire.FAILED:
                self.failed = frame[5].decode()
            elif frame[0] == wire.ACK:
                self.acknowledged = frame[4]
                self.executed = int.from_bytes(frame[5][:8], 'little')
        self._ended.set()

    def _keep_alive(self):
        while not self._end.wait(0.1):
            try:
                with self._lock:
                    self.sock.sendall(wire.frame(
                        wire.KEEPALIVE, session=SESSION,
                        position=self.position))
            except OSError:
                return

    def wait_closed(self, timeout=BOUND_S):
        if not self._ended.wait(timeout):
            raise FtError('the backup has not closed the channel')


def record(pair, size, timeout=60, act=None):
    """The first bytes of a real primary's log; ends that primary.

    act(backup): more to wait for, or to do to the guest.
    """
    pair.start_primary()
    with FakeBackup(pair) as backup:
        wait_for(lambda: len(backup.log) >= size, timeout,
                 f'a log of {size} bytes', pair.primary.process)
        if act:
            act(backup)
        log = backup.log
    pair.primary.process.kill()
    return backup.hello, log
