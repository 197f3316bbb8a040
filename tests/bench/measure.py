"""One mode, measured once: a guest with fixed jobs and one with redis.

Times are the outside's: between two lines on the serial port, which a
protected machine shows only when its backup has the log that led there.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import statistics
import time

from ftlib import FtError, guest
from ftlib.pair import Pair
from ftlib.process import wait_for

from host import process_cpu_s
from load import Load

# QEMU's options of the modes without -ft.  The fork counts instructions and
# runs one TCG thread by itself when -ft is given.
MODES = {
    'plain': '-accel tcg,thread=single',
    'icount': '-icount shift=1',
    'alone': None,
    'undigested': None,     # protected, and never compared
    'protected': None,
}
PAIRS = ('undigested', 'protected')
JOBS = ('md5', 'forks', 'read', 'write')    # in the order of ft.job=all
BOOT_BOUND_S = 180
JOB_BOUND_S = 180
STATE_BOUND_S = 60
POLL_S = 0.005
SAMPLE_S = 0.1
SETTLE_S = 1.0          # after READY, and at the start of the load
IDLE_S = 3.0
LOAD_S = 5.0


class Meter:
    """Looks at a pair ten times a second, in every mode the same."""

    def __init__(self, pair, mode):
        self._pair = pair
        self._mode = mode
        self._samples = []      # (CLOCK_MONOTONIC, answer of query-ft)

    def sample(self):
        status = self._pair.primary.query()
        if self._mode in PAIRS and status['state'] != 'protected':
            raise FtError(f'the primary is {status["state"]} '
                          f'({status["reason"]}) instead of protected: '
                          f'{status.get("text", "")}')
        self._samples.append((time.monotonic(), status))

    def _sample_when_due(self):
        if time.monotonic() - self._samples[-1][0] >= SAMPLE_S:
            self.sample()

    def watch(self, text, bound_s):
        """Waits for a line on the serial port, and samples meanwhile."""
        def look():
            if text in machine.serial():
                return True
            self._sample_when_due()
            return False

        machine = self._pair.primary
        wait_for(look, bound_s, f'"{text}" on the serial line of '
                 f'{machine.process.name}', machine.process, POLL_S)

    def spend(self, seconds, load=None):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if load and load.error:
                raise FtError(f'{self._mode}: {load.error}')
            time.sleep(SAMPLE_S)
            self._sample_when_due()

    def _cpu_s(self):
        return [process_cpu_s(machine.pid) for machine in
                (self._pair.primary, self._pair.backup) if machine]

    def begin(self, moment=None):
        """The start of an interval."""
        self.sample()
        return moment or time.monotonic(), len(self._samples) - 1, \
            self._cpu_s()

    def end(self, start):
        """What there is to say about the interval from start to now."""
        end = time.monotonic()
        moment, index, cpu = start
        self.sample()
        samples = self._samples[index:]
        used = [now - then for now, then in zip(self._cpu_s(), cpu)]
        result = {'seconds': end - moment, 'cpu_s': used[0]}
        if self._mode not in PAIRS:
            return result
        size = samples[-1][1]['appended'] - samples[0][1]['appended']
        lag = [status['lag-ms'] for _, status in samples]
        result.update({
            'backup_cpu_s': used[1],
            'log_bytes': size,
            'log_bytes_per_s': size / (samples[-1][0] - samples[0][0]),
            'lag_ms_median': statistics.median(lag),
            'lag_ms_max': max(lag),
            'held_outputs_max': max(status['held-outputs']
                                    for _, status in samples),
        })
        return result


def _start_without_ft(pair, mode):
    """Stopped until all is ready, so that the guest begins at our word."""
    kept = os.environ.get('FT_QEMU_ARGS')
    os.environ['FT_QEMU_ARGS'] = f'{kept or ""} -S {MODES[mode]}'
    try:
        machine = pair.start_plain()
    finally:
        if kept is None:
            del os.environ['FT_QEMU_ARGS']
        else:
            os.environ['FT_QEMU_ARGS'] = kept
    machine.query()             # connects
    moment = time.monotonic()
    machine.qmp.command('cont')
    return moment


def _start(pair, mode):
    """Starts a mode; returns CLOCK_MONOTONIC of when its guest began."""
    pair.prepare_disks()
    pair.start_switch()
    if MODES[mode]:
        return _start_without_ft(pair, mode)
    if mode == 'alone':
        primary = pair.start_primary()
        primary.wait_state('connecting', timeout=STATE_BOUND_S)
        moment = time.monotonic()
        primary.qmp.command('ft-stop')
        primary.wait_state('alone', timeout=STATE_BOUND_S)
        return moment
    pair.start_backup()
    pair.backup.wait_state('listening', timeout=STATE_BOUND_S)
    never = ',digest-ms=0' if mode == 'undigested' else ''
    primary = pair.start_primary(f',new=on{never}')
    primary.wait_state('protected', timeout=STATE_BOUND_S)
    return primary.qmp.wait_event(
        'FT_STATE', lambda data: data['new'] == 'protected')['t']


def _measure_jobs(mode, progress):
    results = {}
    with Pair(append='ft.job=all') as pair:
        pair.log = None
        progress('boots for the fixed jobs')
        _start(pair, mode)
        meter = Meter(pair, mode)
        meter.sample()
        for job in JOBS:
            bound = JOB_BOUND_S if results else BOOT_BOUND_S
            meter.watch(f'FT-GUEST JOB {job} start', bound)
            start = meter.begin()
            progress(job)
            meter.watch(f'FT-GUEST JOB {job} end', JOB_BOUND_S)
            results[job] = meter.end(start)
    return results


def _percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def _redis_figures(acks, since, until):
    times = [ack for ack in acks if since <= ack <= until]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    if not gaps:
        raise FtError(f'redis acknowledged only {len(times)} writes in '
                      f'{until - since:.0f} s')
    return {
        'writes_per_s': len(times) / (until - since),
        'latency_ms_median': statistics.median(gaps) * 1000,
        'latency_ms_p99': _percentile(gaps, 99) * 1000,
        'latency_ms_max': max(gaps) * 1000,
    }


def _measure_redis(mode, progress):
    results = {}
    with Pair(append='ft.job=redis') as pair:
        pair.log = None
        progress('boots for redis')
        began = _start(pair, mode)
        meter = Meter(pair, mode)
        start = meter.begin(began)
        meter.watch(guest.READY, BOOT_BOUND_S)
        results['boot'] = meter.end(start)
        meter.spend(SETTLE_S)
        progress('idle')
        start = meter.begin()
        meter.spend(IDLE_S)
        results['idle'] = meter.end(start)
        progress('redis')
        load = Load(pair.redis_port, 1)
        try:
            load.start()
            meter.spend(SETTLE_S, load)
            start = meter.begin()
            meter.spend(LOAD_S, load)
            results['redis'] = meter.end(start)
            until = time.monotonic()
            load.stop()
            if load.error:
                raise FtError(f'{mode}: {load.error}')
        finally:
            load.close()
    return results, _redis_figures(load.acks, start[0], until)


def measure(mode, progress):
    """{'jobs': {name: figures}, 'redis': figures of the writes}"""
    fixed = _measure_jobs(mode, progress)
    others, redis = _measure_redis(mode, progress)
    return {'jobs': {**others, **fixed}, 'redis': redis}
