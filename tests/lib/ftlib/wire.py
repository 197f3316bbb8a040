"""The wire format, written a second time: frames, heartbeats, the lease.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct
import zlib

HELLO, REFUSE, PAIRED, LOG, ACK, KEEPALIVE = 1, 2, 3, 4, 5, 6
FAILOVER, END, FAILED = 7, 8, 9
MORE, UNPAIRED = 1, 2           # flags of LOG and END
HEADER = struct.Struct('<4sHHIIQQQII')
PAYLOAD_MAX = 256 * 1024        # ft/limits.h
LOG_MAGIC = b'QFT-LOG\n'


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    return table


CRC_TABLE = _table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def frame(kind, payload=b'', session=7, length=None, version=1, position=0,
          flags=0, spoil=0, generation=1, held=0):
    """A frame as ft/wire.c makes it; spoil is added to its checksum."""
    fields = (b'QFT1', version, kind, flags,
              len(payload) if length is None else length, session,
              generation, position, held)
    crc = crc32c(HEADER.pack(*fields, 0) + payload)
    return HEADER.pack(*fields, crc + spoil & 0xffffffff) + payload


def heartbeat(session, role=1, generation=1, sequence=1, position=0):
    fields = struct.pack('<4sHBxQQQQ12x', b'QFTH', 1, role, session,
                         generation, sequence, position)
    return fields + struct.pack('<I', crc32c(fields))


def lease_record(uuid, owner, partner, generation=1, nonce=1):
    sector = struct.pack('<4sI16sQQI20x128s128s', b'QFTL', 1, uuid,
                         generation, nonce, 1, owner.encode(),
                         partner.encode()).ljust(508, b'\0')
    return sector + struct.pack('<I', crc32c(sector))


def ack(position, session, generation=1, executed=0, icount=0):
    return frame(ACK, struct.pack('<QQ', executed, icount), session,
                 position=position, generation=generation)


def split_frame(data):
    """(type, flags, session, generation, position, payload)"""
    magic, _, kind, flags, length, session, generation, position, _, _ = \
        HEADER.unpack_from(data)
    assert magic == b'QFT1', data
    return (kind, flags, session, generation, position,
            data[HEADER.size:HEADER.size + length])


def read_frame(file):
    """The next frame of a log file, as split_frame has it, or None."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return split_frame(header + file.read(HEADER.unpack(header)[4]))


class Stream:
    """One direction of a connection: its bytes to long, unpacked frames."""

    SHORT, PACKED, FLAGS_SHIFT = 0x80, 0x40, 4
    FLUSH_END = b'\0\0\xff\xff'

    def __init__(self):
        self._kept = b''
        self._last = None           # session, generation, position
        self._zip = zlib.decompressobj(-12)

    @staticmethod
    def _varint(data, at):
        value = shift = 0
        while True:
            value |= (data[at] & 0x7f) << shift
            shift += 7
            at += 1
            if not data[at - 1] & 0x80:
                return value, at

    def _short(self, data):
        first, held = data[0], 0
        kind = first & 15
        size, at = self._varint(data, 1)
        step, at = self._varint(data, at)
        session, generation, position = self._last
        position += (step >> 1) ^ -(step & 1)
        if kind in (LOG, KEEPALIVE):
            held, at = self._varint(data, at)
        crc, = struct.unpack_from('<I', data, at)
        at += 4
        payload = data[at:at + size]
        if len(payload) < size:
            return None, 0
        if first & self.PACKED:
            payload = self._zip.decompress(payload + self.FLUSH_END)
        made = frame(kind, payload, session, position=position, held=held,
                     flags=first >> self.FLAGS_SHIFT & 3,
                     generation=generation)
        assert made[HEADER.size - 4:HEADER.size] == struct.pack('<I', crc)
        return made, at + size

    def _next(self):
        data = self._kept
        if self._last and data and data[0] & self.SHORT:
            try:
                made, size = self._short(data)
            except (IndexError, struct.error):
                return None         # the rest is still to come
        elif len(data) < HEADER.size:
            return None
        else:
            size = HEADER.size + HEADER.unpack_from(data)[4]
            made = data[:size] if len(data) >= size else None
        if made:
            self._kept = data[size:]
            self._last = HEADER.unpack_from(made)[5:8]
        return made

    def feed(self, data):
        """The frames that are whole now, in order, each as its bytes."""
        self._kept += data
        return list(iter(self._next, None))


def write_log(path, hello, data, session=7):
    """A log file as -ft primary,log=FILE writes it (docs/log.md)."""
    header = struct.pack('<8sHB5xQ4x', LOG_MAGIC, 1, 1, 10**15)
    with open(path, 'wb') as file:
        file.write(header + struct.pack('<I', crc32c(header)))
        file.write(frame(HELLO, hello, session))
        for at in range(0, len(data), PAYLOAD_MAX):
            part = data[at:at + PAYLOAD_MAX]
            more = MORE if at + len(part) < len(data) else 0
            file.write(frame(LOG, part, session, position=at, flags=more))
        file.write(frame(END, b'', session, position=len(data)))
