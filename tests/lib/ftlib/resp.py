"""RESP, the protocol of redis: one request at a time on one connection.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import socket

from . import FtError, FtTimeout


class RespError(FtError):
    """The server answered with an error."""


class Redis:
    """One TCP connection, never opened again by itself."""

    def __init__(self, port, host='127.0.0.1', timeout=10):
        self._timeout = timeout
        try:
            self._sock = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise FtError(f'redis: {host}:{port}: {error}') from error
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def close(self):
        self._sock.close()

    def _fill(self):
        try:
            data = self._sock.recv(65536)
        except socket.timeout:
            raise FtTimeout('redis: no answer within '
                            f'{self._timeout:g} s') from None
        except OSError as error:
            raise FtError(f'redis: the connection broke: {error}') from error
        if not data:
            raise FtError('redis: the connection was closed')
        self._buffer += data

    def _line(self):
        while b'\r\n' not in self._buffer:
            self._fill()
        at = self._buffer.index(b'\r\n')
        line = bytes(self._buffer[:at])
        del self._buffer[:at + 2]
        return line

    def _bulk(self, size):
        while len(self._buffer) < size + 2:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size + 2]
        return data

    def _answer(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b'+':
            return rest
        if kind == b'-':
            raise RespError(f'redis: {rest.decode()}')
        if kind == b':':
            return int(rest)
        if kind == b'$':
            return None if rest == b'-1' else self._bulk(int(rest))
        if kind == b'*':
            return [self._answer() for _ in range(int(rest))]
        raise FtError(f'redis: not an answer: {line!r}')

    def command(self, *words):
        """Sends one command and waits for its answer."""
        parts = [b'*%d\r\n' % len(words)]
        for word in words:
            raw = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b'$%d\r\n%s\r\n' % (len(raw), raw))
        self._sock.settimeout(self._timeout)
        try:
            self._sock.sendall(b''.join(parts))
        except socket.timeout:
            raise FtTimeout('redis: could not send within '
                            f'{self._timeout:g} s') from None
        except OSError as error:
            raise FtError(f'redis: the connection broke: {error}') from error
        return self._answer()
