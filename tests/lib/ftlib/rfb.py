"""The other end of a machine's VNC: keys to the guest, pictures from it.

As much of RFC 6143 as a test needs: no authentication, raw pixels.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import socket
import struct

RAW = 0
DESKTOP_SIZE = -223             # so that a change of mode is told
NO_SECURITY = 1
SET_ENCODINGS, UPDATE_REQUEST, KEY = 2, 3, 4


class Rfb:
    """A viewer of a machine that has -vnc unix:NAME."""

    def __init__(self, machine, name='vnc'):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(os.path.join(machine.directory, name))
        self._take(12)
        self._socket.sendall(b'RFB 003.008\n')
        kinds = self._take(self._take(1)[0])
        assert NO_SECURITY in kinds, f'VNC wants a password: {kinds}'
        self._socket.sendall(bytes([NO_SECURITY]))
        assert self._take(4) == bytes(4), 'VNC refused'
        self._socket.sendall(b'\1')         # share it with other viewers
        self.width, self.height, pixel, length = struct.unpack(
            '>HH16sI', self._take(24))
        self._pixel_bytes = pixel[0] // 8
        self._take(length)
        self._socket.sendall(struct.pack('>BxHii', SET_ENCODINGS, 2, RAW,
                                         DESKTOP_SIZE))

    def _take(self, size):
        data = b''
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, 'the VNC server closed the connection'
            data += more
        return data

    def key(self, symbol):
        """Presses and releases a key; symbol: X11's, as a number."""
        for down in (1, 0):
            self._socket.sendall(struct.pack('>BBxxI', KEY, down, symbol))

    def type(self, text):
        for char in text:
            self.key(0xff0d if char == '\n' else ord(char))

    def picture(self):
        """The whole screen, as bytes; it may change its size meanwhile."""
        data = b''
        while not data:
            data = self._update()
        return data

    def _update(self):
        self._socket.sendall(struct.pack('>BBHHHH', UPDATE_REQUEST, 0, 0, 0,
                                         self.width, self.height))
        kind, rectangles = struct.unpack('>BxH', self._take(4))
        assert kind == 0, f'message {kind} instead of a picture'
        data = b''
        for _ in range(rectangles):
            _, _, width, height, encoding = struct.unpack('>HHHHi',
                                                          self._take(12))
            if encoding == RAW:
                data += self._take(width * height * self._pixel_bytes)
            else:
                self.width, self.height = width, height
        return data

    def close(self):
        self._socket.close()
