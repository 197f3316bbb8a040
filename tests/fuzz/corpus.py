"""Logs of real machines, recorded for the fuzzers.

    for log in recordings(): log.name, log.hello, log.data, log.pair()

A test plays the backup of a real primary whose guest is one of roms/, does to
it what an administrator and a network do, and keeps the log.  All of it takes
some ten seconds.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'lib'))

from ftlib.fake import record  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import MAC_BYTES, EchoPair, RomPair, SerialLine, net  # noqa: E402
from ftlib.shared import SharedPair  # noqa: E402

DISK_SEED = 60000            # of what was read from a shared disk
SOCKET = 'socket,id=s0,path=serial,server=on,wait=off'


class Recording:
    def __init__(self, name, make, act=None, size=1500):
        self.name, self._make, self._act, self._size = name, make, act, size
        self.hello = self.data = None

    def pair(self):
        """A pair of the same machines, its disks made anew."""
        pair = self._make()
        if pair.disk:
            pair.prepare_disks()
        return pair

    def make(self):
        with self.pair() as pair:
            def act(backup):
                if self._act:
                    self._act(pair, backup)
            self.hello, self.data = record(pair, self._size, act=act)
        return self


def grow(pair, backup, more=300):
    size = len(backup.log)
    wait_for(lambda: len(backup.log) > size + more, 20, 'more log',
             pair.primary.process)


def send_input(pair, backup):
    def key(code, down):
        return {'type': 'key', 'data': {'down': down, 'key': {
            'type': 'qcode', 'data': code}}}
    events = [key('a', True), key('a', False),
              {'type': 'rel', 'data': {'axis': 'x', 'value': 3}},
              {'type': 'btn', 'data': {'down': True, 'button': 'left'}}]
    pair.primary.qmp.command('input-send-event', events=events)
    grow(pair, backup)


def commands(pair, backup):
    for name in ('stop', 'cont', 'system_powerdown', 'system_reset'):
        pair.primary.qmp.command(name)
        if name != 'stop':
            grow(pair, backup)


def talk(pair, backup):
    line = SerialLine(pair.primary)
    line.wait('serial ready')
    for word in ('hello', 'x' * 40):
        line.send(word + '\r')
        line.wait(word.upper())
    line.close()
    grow(pair, backup)


def echo(pair, backup):
    pair.wait_ready()
    pair.send(net.arp_request())
    for data in (b'x', b'hello' * 40):
        pair.send(net.udp(MAC_BYTES, 7, data))
    grow(pair, backup)


RECORDINGS = [
    Recording('counter', lambda: RomPair('counter'), send_input),
    Recording('halt', lambda: RomPair('counter-halt'), commands),
    Recording('time', lambda: RomPair('time')),
    Recording('disk', lambda: RomPair('disk', disk=True), size=4000),
    # No lock: several replays have the one disk open, and leave it alone.
    Recording('shared', lambda: SharedPair(drive=',file.locking=off'),
              size=DISK_SEED),
    Recording('echo', EchoPair, echo, size=600),
    Recording('serial', lambda: RomPair('serial-echo', serial=SOCKET), talk,
              size=300),
    Recording('reset', lambda: RomPair('reset'), size=1000),
]


def synthetic():
    """One entry of each kind, in no sensible order."""
    def array(data):
        return struct.pack('>I', len(data)) + data
    log = b'\xf0' + array(b'\0')
    for kind in (3, 4, 8):                                  # bh, block
        log += struct.pack('>BQ', kind, 1)
    log += struct.pack('>BIIIB', 5, 0, 1, 30, 1)            # a key
    log += struct.pack('>BIIQB', 5, 0, 0, 30, 1)
    log += struct.pack('>BIIB', 5, 1, 0, 1)
    log += struct.pack('>BIIQ', 5, 2, 0, 7) + bytes([6])
    log += struct.pack('>BIIQ', 5, 3, 1, 7)
    log += struct.pack('>BIIQQIQ', 5, 4, 0, 1, 1, 0, 5)
    log += bytes([7, 0]) + array(b'chars')
    log += struct.pack('>BBI', 9, 1, 0) + array(bytes(60))
    log += struct.pack('>BI', 0, 1000)
    log += struct.pack('>Bi', 27, 0) + array(bytes(16))     # random
    log += struct.pack('>BQ', 28, 10**18) + struct.pack('>BQ', 29, 10**9)
    log += bytes(range(30, 39)) + bytes([1, 2, 13, 17])
    log += b'\xf4' + array(struct.pack('>Qi', 1, -5))
    log += b'\xf1' + array(b'\x04') + b'\xf2' + array(b'\x09')
    return log


def recordings():
    return [recording.make() for recording in RECORDINGS]


def write_disk_seeds(directory, made):
    """Seeds for fuzz-disk: flags, no script, a log with data that were read."""
    directory.mkdir(parents=True, exist_ok=True)
    for log in made:
        if log.name == 'shared':
            (directory / 'shared').write_bytes(
                bytes([0, 0]) + log.data[:DISK_SEED])
            (directory / 'round').write_bytes(
                bytes([1, 0]) + log.data[:4096])


def write_seeds(directory, made):
    """Seeds for fuzz-engine: flags, no script, a log."""
    directory.mkdir(parents=True, exist_ok=True)
    logs = {log.name: log.data for log in made}
    logs['synthetic'] = synthetic()
    for name, data in logs.items():
        for flags in (0, 1):
            (directory / f'{name}-{flags}').write_bytes(
                bytes([flags, 0]) + data[:12000])
