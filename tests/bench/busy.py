"""False takeovers: a pair for minutes on a host whose cores are all busy.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import statistics
import time

from ftlib import FtError, guest
from ftlib.process import Process
from ftlib.qmp import QmpError

from load import Load
from rows import ENDLESS_MB
from subject import Subject

LOOK_S = 0.5


class _Hogs:
    """One for each core, with the same priority as the pair."""

    def __init__(self, directory):
        self._all = [Process(f'hog{number}',
                             ['sh', '-c', 'while :; do :; done'], directory)
                     for number in range(len(os.sched_getaffinity(0)))]

    def __len__(self):
        return len(self._all)

    def end(self):
        for hog in self._all:
            hog.end()


class _Watch:
    """One pair, until the time is over or it is no pair any more."""

    def __init__(self, subject, progress):
        self._subject = subject
        self._progress = progress
        self.lag = []               # (s, ms)
        self.ended = None           # why it is no pair any more

    def _look(self, began):
        for machine in (self._subject.pair.primary,
                        self._subject.pair.backup):
            status = machine.query(timeout=60)
            if status['state'] != 'protected':
                self.ended = (f'{machine.node} is {status["state"]} '
                              f'({status["reason"]}: '
                              f'{status.get("text", "")})')
                return
            if machine is self._subject.pair.primary:
                self.lag.append((round(time.monotonic() - began, 1),
                                 status['lag-ms']))

    def run(self, before_s, seconds, load):
        """before_s: how long earlier pairs were watched.  Returns seconds."""
        start = time.monotonic()
        until = start + seconds
        began = start - before_s
        while time.monotonic() < until and not self.ended:
            try:
                self._look(began)
            except (FtError, QmpError) as error:
                self.ended = str(error)
            if load.error and not self.ended:
                self.ended = f'the client: {load.error}'
            if self.lag:
                self._progress(
                    f'{until - time.monotonic():.0f} s to go, lag '
                    f'{self.lag[-1][1]:,} ms, {len(load.acks):,} writes')
            time.sleep(LOOK_S)
        return time.monotonic() - start


def _one_pair(network, qemu, before_s, seconds, progress):
    """(its _Watch, seconds watched, writes)"""
    with Subject('protected', network, qemu) as subject:
        progress('boots')
        subject.boot()
        host, port = network.address(guest.REDIS_PORT)
        with network.inside():
            load = Load(port, 1, host)
        hogs = None
        try:
            load.start()
            subject.order('md5', ENDLESS_MB)
            hogs = _Hogs(subject.pair.directory)
            watch = _Watch(subject, progress)
            watched_s = watch.run(before_s, seconds, load)
            return watch, watched_s, len(load.acks)
        finally:
            load.close()
            if hogs:
                hogs.end()


def busy(network, qemu, minutes, progress):
    """The guest computes and answers a client, beside a hog on each core."""
    ends, lag, writes, done_s = [], [], 0, 0.0
    while done_s < minutes * 60:
        watch, seconds, count = _one_pair(network, qemu, done_s,
                                          minutes * 60 - done_s, progress)
        done_s += seconds
        lag += watch.lag
        writes += count
        if watch.ended:
            ends.append(watch.ended)
    values = [value for _, value in lag]
    return {'false': len(ends), 'ends': ends, 'minutes': minutes,
            'hogs': len(os.sched_getaffinity(0)), 'writes': writes,
            'lag_ms_median': statistics.median(values),
            'lag_ms_max': max(values), 'samples': lag}
