"""Somebody between the two machines who changes one thing in the log.

    tamper = Tamper(pair.relay)
    tamper.once(drop(entries.INTERRUPT))
    moment = tamper.wait()          # when it was done (time.monotonic)

Frames keep their form: positions and checksums are right again, in both
directions, so that only what the log says is wrong.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct
import threading
import time

from . import FtTimeout, entries, wire


class Tamper:
    def __init__(self, relay):
        self._order = None
        self._done = threading.Event()
        self._moment = None
        self.digests = 0            # in the log before the change
        self._shift = 0             # bytes that the backup's log is longer
        self._since = None          # from this position of the primary's on
        self._open = False          # inside a transaction
        for direction, change in (('to-target', self._log_frame),
                                  ('to-client', self._ack_frame)):
            relay.tcp.filter(direction, self._by_frame(change))

    def once(self, change):
        """change(list of entries) returns a changed list, or None: not here."""
        self._order = change

    def wait(self, timeout=20):
        if not self._done.wait(timeout):
            raise FtTimeout('the log had no place for the fault')
        return self._moment

    @staticmethod
    def _by_frame(change):
        stream = wire.Stream()
        return lambda data: b''.join(change(frame)
                                     for frame in stream.feed(data))

    @staticmethod
    def _make(data, position, payload):
        (_, _, kind, flags, _, session, generation, _, held,
         _) = wire.HEADER.unpack_from(data)
        return wire.frame(kind, payload, session, position=position,
                          flags=flags, generation=generation, held=held)

    def _log_frame(self, data):
        header = wire.HEADER.unpack_from(data)
        kind, flags, position = header[2], header[3], header[7]
        payload = data[wire.HEADER.size:]
        if kind not in (wire.LOG, wire.KEEPALIVE, wire.END):
            return data
        moved = position + self._shift
        if kind == wire.LOG:
            whole = not self._open and not flags & wire.MORE
            self._open = bool(flags & wire.MORE)
            if whole and self._moment is None:
                payload = self._look(position, payload)
        return self._make(data, moved, payload)

    def _look(self, position, payload):
        log = entries.split(payload)
        changed = self._order(log) if self._order else None
        if not changed:             # nor is there an empty frame
            self.digests += sum(e[0] == entries.DIGEST for e in log)
            return payload
        self._order = None
        changed = b''.join(changed)
        self._since = position + len(payload)
        self._shift = len(changed) - len(payload)
        self._moment = time.monotonic()
        self._done.set()
        return changed

    def _back(self, position):
        """The primary's position for one of the backup's."""
        if self._since is None or position < self._since + self._shift:
            return position
        return position - self._shift

    def _ack_frame(self, data):
        header = wire.HEADER.unpack_from(data)
        payload = data[wire.HEADER.size:]
        if header[2] != wire.ACK or not self._shift:
            return data
        executed, icount = struct.unpack('<QQ', payload)
        return self._make(data, self._back(header[7]),
                          struct.pack('<QQ', self._back(executed), icount))


# --- changes ----------------------------------------------------------------

def _find(log, kind):
    return next((at for at, entry in enumerate(log) if entry[0] == kind),
                None)


def drop(kind):
    def change(log):
        at = _find(log, kind)
        return None if at is None else log[:at] + log[at + 1:]
    return change


def duplicate(kind):
    def change(log):
        at = _find(log, kind)
        return None if at is None else log[:at + 1] + log[at:]
    return change


def move(kind, by=1):
    """Later by so many instructions; what follows stays where it was."""
    def change(log):
        at = _find(log, kind)
        if at is None or at == 0 or log[at - 1][0] != entries.INSTRUCTION:
            return None
        after = next((n for n in range(at + 1, len(log))
                      if log[n][0] == entries.INSTRUCTION), None)
        if after is None or entries.count(log[after]) <= by:
            return None
        log = list(log)
        log[at - 1] = entries.instructions(entries.count(log[at - 1]) + by)
        log[after] = entries.instructions(entries.count(log[after]) - by)
        return log
    return change


def flip_clock(kind, by_ns=1000):
    """Another time of day, or time elapsed."""
    def change(log):
        at = _find(log, kind)
        if at is None:
            return None
        value = int.from_bytes(log[at][1:], 'big') + by_ns
        return log[:at] + [bytes([kind]) + value.to_bytes(8, 'big')] \
            + log[at + 1:]
    return change
