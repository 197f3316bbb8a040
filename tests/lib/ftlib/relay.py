"""A link that a test can cut, stall and restore: TCP and UDP, separately.

    relay = Relay(target_port)          # listens on relay.port, both kinds
    Pair(peer_port=relay.port)
    relay.tcp.stall(); relay.udp.stall()    # a cut link: silence, no RST
    relay.tcp.restore()
    relay.tcp.cut()                     # as a dying host's kernel: RST
    relay.tcp.stall_before(frame_start(3), 'to-target')
    relay.tcp.flip('to-client')         # a bit of what comes next
    relay.tcp.damage_log()
    relay.tcp.throttle(100_000)         # bytes a second to the target
    relay.close()

Each half has a thread of its own.  stall() of TCP keeps what is under way
and delivers it at restore(), as TCP itself would; of UDP it drops.
Directions: 'both', 'to-target', 'to-client'.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import selectors
import socket
import struct
import threading
import time

from . import FtError, paths
from .process import take_precedence

BUFFER = 256 * 1024
THROTTLE_TICK_S = 0.01
DIRECTIONS = {'both': {'to-target', 'to-client'},
              'to-target': {'to-target'}, 'to-client': {'to-client'}}
SHORT_LOG = 0x84                # how such a frame begins: ft/wire-stream.c
SHORT_LOG_MIN = 8               # bytes before its payload


def frame_start(kind):
    """The first bytes of a frame of this type (ft/wire.h)."""
    return b'QFT1' + struct.pack('<HH', 1, kind)


def begins_with_log(data):
    """True: the bytes begin with a short LOG frame that is not empty."""
    return len(data) > SHORT_LOG_MIN and data[0] & 0x8f == SHORT_LOG


class _Half:
    """A thread that waits for sockets and for orders."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._orders = []
        self._lock = threading.Lock()
        self._ending = False
        self.stalled = set()        # directions
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _do(self, order):
        """Runs order() in the half's thread and waits for it."""
        done = threading.Event()
        with self._lock:
            self._orders.append((order, done))
        os.write(self._wake_write, b'x')
        if not done.wait(10):
            raise FtError('the relay\'s thread does not answer')

    def _take_orders(self):
        os.read(self._wake_read, 4096)
        with self._lock:
            orders, self._orders = self._orders, []
        for order, done in orders:
            order()
            done.set()

    def _run(self):
        take_precedence()           # a network waits for no host's cores
        while not self._ending:
            for key, mask in self._selector.select(self._tick()):
                if key.fd == self._wake_read:
                    self._take_orders()
                elif key.fileobj.fileno() >= 0:
                    self._serve(key, mask)

    def _serve(self, key, mask):
        raise NotImplementedError

    def _tick(self):
        """How long to wait for sockets; None: as long as it takes."""

    def _settle(self):
        """Applies self.stalled."""

    def _end(self):
        """Closes what the selector does not know of."""

    def stall(self, direction='both'):
        def order():
            self.stalled |= DIRECTIONS[direction]
            self._settle()
        self._do(order)

    def restore(self):
        def order():
            self.stalled = set()
            self._settle()
        self._do(order)

    def close(self):
        def order():
            self._ending = True
            self._end()
        self._do(order)
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake_read:
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


class _Pipe:
    """One direction of one TCP connection."""

    def __init__(self, direction, source, target):
        self.direction = direction
        self.source, self.target = source, target
        self.data = bytearray()
        self.eof = False            # the source sent its last
        self.shut = False           # and the target was told


class TcpRelay(_Half):
    """Accepts on port and connects to target_port for each.

    marks: as stall_before(), before the first byte: direction -> mark.
    """

    def __init__(self, port, target_port, marks):
        super().__init__()
        self.port, self._target_port = port, target_port
        self._links = []            # [to-target pipe, to-client pipe]
        self.bytes = {'to-target': 0, 'to-client': 0}
        self._marks = dict(marks)   # direction: bytes before which to stall
        self._flips = {}            # direction: bytes to let pass before it
        self._rate = None           # bytes a second to the target
        self._budget = 0            # what may pass until the next tick
        self._ticked = 0.0
        self._filters = {}          # direction: what to do with its bytes
        self._listener = None
        self._listen()
        self._thread.start()

    def _listen(self):
        self._listener = socket.create_server(('127.0.0.1', self.port))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def cut(self):
        """Resets every connection; new ones are refused until restore()."""
        def order():
            for link in list(self._links):
                self._drop(link)
            if self._listener:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
        self._do(order)

    def stall_before(self, mark, direction):
        """Stalls the direction when these bytes come up in the stream."""
        def order():
            self._marks[direction] = mark
        self._do(order)

    def flip(self, direction, after=0):
        """Flips one bit, after so many more bytes."""
        def order():
            self._flips[direction] = after
        self._do(order)

    def damage_log(self):
        """Flips a bit in a LOG frame's checksum.

        Elsewhere a changed bit may mean the same: what is packed has more
        than one form.
        """
        def damage(data):
            if begins_with_log(data):
                data = bytearray(data)
                data[SHORT_LOG_MIN - 1] ^= 0x10
                del self._filters['to-target']
            return data
        self.filter('to-target', damage)

    def throttle(self, bytes_per_s):
        """Limits what goes to the target; None: no limit any more."""
        def order():
            self._rate, self._budget = bytes_per_s, 0
            self._ticked = time.monotonic()
            self._settle()
        self._do(order)

    def _tick(self):
        if self._rate is None:
            return None
        passed = time.monotonic() - self._ticked
        if passed >= THROTTLE_TICK_S:
            self._ticked += passed
            # What was not used is lost, but for a few ticks' worth.
            self._budget = min(self._budget + self._rate * passed,
                               self._rate * 5 * THROTTLE_TICK_S)
            for link in list(self._links):
                self._serve_link(link)
        return THROTTLE_TICK_S

    def filter(self, direction, change):
        """change(bytes) returns what goes on instead; it may keep some."""
        def order():
            self._filters[direction] = change
        self._do(order)

    def _end(self):
        for link in list(self._links):
            self._drop(link)

    @property
    def connections(self):
        return len(self._links)

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            target = socket.create_connection(('127.0.0.1',
                                               self._target_port), 5)
        except OSError:
            self._reset(client)
            return
        for sock in (client, target):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = [_Pipe('to-target', client, target),
                _Pipe('to-client', target, client)]
        self._links.append(link)
        self._selector.register(client, selectors.EVENT_READ, link)
        self._selector.register(target, selectors.EVENT_READ, link)
        self._watch(link)

    @staticmethod
    def _reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack('ii', 1, 0))
        sock.close()

    def _drop(self, link):
        self._links.remove(link)
        for pipe in link:
            try:
                self._selector.unregister(pipe.source)
            except KeyError:
                pass                # it was waiting for nothing
            self._reset(pipe.source)

    def _watch(self, link):
        """What each socket of a link waits for now."""
        for pipe, back in (link, link[::-1]):
            mask = 0
            if (pipe.direction not in self.stalled and not pipe.eof
                    and len(pipe.data) < BUFFER):
                mask |= selectors.EVENT_READ
            if (back.direction not in self.stalled and back.data
                    and not self._is_throttled(back)):
                mask |= selectors.EVENT_WRITE
            self._set_mask(pipe.source, mask, link)

    def _set_mask(self, sock, mask, link):
        known = sock in self._selector.get_map()
        if mask and known:
            self._selector.modify(sock, mask, link)
        elif mask:
            self._selector.register(sock, mask, link)
        elif known:
            self._selector.unregister(sock)

    def _spoil(self, pipe, data):
        """The bit that flip() asked for."""
        after = self._flips.get(pipe.direction)
        if after is None or not data:
            return data
        if after >= len(data):
            self._flips[pipe.direction] = after - len(data)
            return data
        del self._flips[pipe.direction]
        return data[:after] + bytes([data[after] ^ 0x10]) + data[after + 1:]

    def _is_throttled(self, pipe):
        return (self._rate is not None and pipe.direction == 'to-target'
                and self._budget < 1)

    def _passable(self, pipe):
        """How much of what waits may go on."""
        size = self._before_mark(pipe)
        if self._rate is not None and pipe.direction == 'to-target':
            size = min(size, int(self._budget))
        return size

    def _before_mark(self, pipe):
        """Of what waits, what is before a mark; stalls at one."""
        mark = self._marks.get(pipe.direction)
        if not mark:
            return len(pipe.data)
        at = pipe.data.find(mark)
        if at == 0:
            del self._marks[pipe.direction]
            self.stalled.add(pipe.direction)
        if at >= 0:
            return at
        for size in range(len(mark) - 1, 0, -1):
            if pipe.data.endswith(mark[:size]):
                return len(pipe.data) - size    # the rest may come yet
        return len(pipe.data)

    def _move(self, pipe):
        """Reads and writes what goes without waiting."""
        if pipe.direction in self.stalled:
            return
        try:
            while not pipe.eof and len(pipe.data) < BUFFER:
                data = pipe.source.recv(65536)
                pipe.eof = not data
                data = self._spoil(pipe, data)
                change = self._filters.get(pipe.direction)
                pipe.data += change(data) if change else data
        except BlockingIOError:
            pass
        try:
            while passable := self._passable(pipe):
                sent = pipe.target.send(pipe.data[:passable])
                self.bytes[pipe.direction] += sent
                if pipe.direction == 'to-target':
                    self._budget -= sent
                del pipe.data[:sent]
        except BlockingIOError:
            pass
        if pipe.eof and not pipe.data and not pipe.shut:
            pipe.shut = True
            pipe.target.shutdown(socket.SHUT_WR)

    def _serve(self, key, mask):
        if key.fileobj is self._listener:
            self._accept()
            return
        self._serve_link(key.data)

    def _serve_link(self, link):
        try:
            for pipe in link:
                self._move(pipe)
        except OSError:
            self._drop(link)
            return
        if all(pipe.shut for pipe in link):
            self._drop(link)
            return
        self._watch(link)

    def _settle(self):
        if not self._listener and not self.stalled:
            self._listen()
        for link in list(self._links):
            self._serve_link(link)


class UdpRelay(_Half):
    """Forwards datagrams; one socket to the target for each client."""

    def __init__(self, port, target_port):
        super().__init__()
        self.port, self._target_port = port, target_port
        self._out = {}              # socket to the target, by client address
        self.datagrams = {'to-target': 0, 'to-client': 0}
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(('127.0.0.1', port))
        self._sock.setblocking(False)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._thread.start()

    def _socket_for(self, address):
        if address not in self._out:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect(('127.0.0.1', self._target_port))
            self._out[address] = sock
            self._selector.register(sock, selectors.EVENT_READ, address)
        return self._out[address]

    def _serve(self, key, mask):
        try:
            data, address = key.fileobj.recvfrom(65536)
        except OSError:
            return                  # e.g. nobody had the target port
        if key.fileobj is self._sock:
            direction, send = 'to-target', self._socket_for(address).send
        else:
            direction = 'to-client'
            client = key.data

            def send(data):
                self._sock.sendto(data, client)
        if direction in self.stalled:
            return
        try:
            send(data)
            self.datagrams[direction] += 1
        except OSError:
            pass                    # UDP may lose it


class Relay:
    """Both halves, on the same port number."""

    def __init__(self, target_port, port=None, marks=()):
        self.port = port or paths.free_port()
        self.tcp = TcpRelay(self.port, target_port, marks)
        self.udp = UdpRelay(self.port, target_port)

    def stall(self, direction='both'):
        self.tcp.stall(direction)
        self.udp.stall(direction)

    def cut(self):
        self.tcp.cut()
        self.udp.stall()

    def restore(self):
        self.tcp.restore()
        self.udp.restore()

    def close(self):
        self.tcp.close()
        self.udp.close()
