"""The wire format, written a second time: frames, heartbeats, the lease.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct

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


def read_frame(file):
    """(type, flags, session, generation, position, payload) or None."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    magic, _, kind, flags, length, session, generation, position, _, _ = \
        HEADER.unpack(header)
    assert magic == b'QFT1', header
    return kind, flags, session, generation, position, file.read(length)


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
