"""A guest in one mode: what the rows are measured on.

    with Subject('protected', network) as subject:
        subject.boot()
        subject.job('md5', 100)

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import os
import socket
import time

from ftlib import FtError, guest
from ftlib.pair import Pair
from ftlib.resp import Redis

from meter import Meter

# QEMU's options of the modes without -ft.  The fork counts instructions and
# runs one TCG thread by itself when -ft is given.
OPTIONS = {
    'plain': '-accel tcg,thread=single',
    'counting': '-icount shift=1',
}
# What each mode is, for people.
MODES = {
    'plain': 'TCG, one thread, nothing else',
    'counting': 'with -icount shift=1, nothing else',
    'alone': 'records, and has no backup',
    'against': 'a pair of the other build (--against)',
    'protected': 'a pair',
}
USUAL = ('plain', 'counting', 'protected')
PAIRS = ('against', 'protected')
DIGEST_MS = 500             # the default
BOOT_BOUND_S = 180
JOB_BOUND_S = 240
STATE_BOUND_S = 60
CONNECT_BOUND_S = 10
QUIET_BOUND_S = 10
QUIET_MS = 50


@contextlib.contextmanager
def environment(**values):
    """Of QEMUs that start meanwhile; ftlib reads it."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Subject:

    def __init__(self, mode, network, qemu=None, append='', extra=()):
        self.mode = mode
        self.network = network
        self.protected = mode in PAIRS
        self.pair = Pair(options=guest.options(
            netdev=network.netdev(), append=f'ft.job=bench {append}')
            + list(extra))
        self.pair.log = None
        self._qemu = {'FT_QEMU': qemu} if qemu else {}
        self._redis = None
        self._serial = 0        # characters of it that are dealt with
        self.meter = Meter(self.pair, network, self.protected)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()

    def close(self):
        if self._redis:
            self._redis.close()
        self.pair.__exit__(None, None, None)

    # starting

    def _start_without_ft(self):
        """Stopped until all is ready, so that it begins at our word."""
        words = f'{os.environ.get("FT_QEMU_ARGS", "")} -S ' \
            + OPTIONS[self.mode]
        with environment(FT_QEMU_ARGS=words, **self._qemu):
            machine = self.pair.start_plain(self.network.prefix_a)
        machine.query()         # connects
        moment = time.monotonic()
        machine.qmp.command('cont')
        return moment

    def _start_alone(self):
        with environment(**self._qemu):
            primary = self.pair.start_primary(prefix=self.network.prefix_a)
        primary.wait_state('connecting', timeout=STATE_BOUND_S)
        moment = time.monotonic()
        primary.qmp.command('ft-stop')
        primary.wait_state('alone', timeout=STATE_BOUND_S)
        return moment

    def _start_pair(self):
        pair = self.pair
        with environment(**self._qemu):
            pair.start_backup(prefix=self.network.prefix_b)
            pair.backup.wait_state('listening', timeout=STATE_BOUND_S)
            pair.start_primary(',new=on', self.network.prefix_a)
        pair.primary.wait_state('protected', timeout=STATE_BOUND_S)
        # It may have been before there was anybody to tell.
        return next((event['t'] for event in pair.primary.qmp.events
                     if event['event'] == 'FT_STATE'
                     and event['data']['new'] == 'protected'),
                    time.monotonic())

    def boot(self):
        """Figures of the time to redis, from the guest's beginning."""
        self.pair.prepare_disks()
        self.network.start(self.pair)
        if self.mode in OPTIONS:
            began = self._start_without_ft()
        elif self.mode == 'alone':
            began = self._start_alone()
        else:
            began = self._start_pair()
        start = self.meter.begin(began)
        self._serial = self.meter.watch(guest.READY, BOOT_BOUND_S)
        return self.meter.end(start)

    # working

    def settle(self):
        """Waits until what came before is over for the backup too."""
        end = time.monotonic() + QUIET_BOUND_S
        time.sleep(0.3)
        while (self.protected and time.monotonic() < end
               and self.meter.sample()['lag-ms'] > QUIET_MS):
            time.sleep(0.1)

    def connect(self, port):
        """A TCP connection from the client to the guest."""
        with self.network.inside():
            try:
                return socket.create_connection(self.network.address(port),
                                                CONNECT_BOUND_S)
            except OSError as error:
                raise FtError(f'port {port} of the guest: {error}') from error

    def order(self, name, size):
        """The guest begins a job as soon as it has no other."""
        if not self._redis:
            host, port = self.network.address(guest.REDIS_PORT)
            with self.network.inside():
                self._redis = Redis(port, host, JOB_BOUND_S)
        self._redis.command('RPUSH', 'bench:jobs', f'{name} {size}')

    def job(self, name, size):
        """Does a job of tests/guest/init; times are those of its marks."""
        self.settle()
        self.order(name, size)
        self._serial = self.meter.watch(f'FT-GUEST JOB {name} start',
                                        JOB_BOUND_S, self._serial)
        start = self.meter.begin(time.monotonic())
        self._serial = self.meter.watch(f'FT-GUEST JOB {name} end',
                                        JOB_BOUND_S, self._serial)
        return self.meter.end(start)
