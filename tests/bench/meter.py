"""Intervals of a measurement: wall and CPU seconds, log, lag.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import statistics
import time

from ftlib import FtError
from ftlib.process import process_cpu_s, wait_for

from network import channel_bytes

POLL_S = 0.002
SAMPLE_S = 0.1
NS = 1e9


def waited_s(pid):
    """Seconds that each thread wanted to run and no CPU was free, by id."""
    waited = {}
    for thread in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{thread}/schedstat',
                      encoding='ascii') as file:
                waited[thread] = int(file.read().split()[1]) / NS
        except (FileNotFoundError, ProcessLookupError):
            pass                # it has just ended
    return waited


class Meter:
    """Of one subject.  Every mode is looked at in the same way."""

    def __init__(self, pair, network, protected):
        self._pair = pair
        self._network = network
        self.protected = protected
        self.samples = []       # (CLOCK_MONOTONIC, answer of query-ft)

    def sample(self):
        status = self._pair.primary.query()
        if self.protected and status['state'] != 'protected':
            raise FtError(f'the primary is {status["state"]} '
                          f'({status["reason"]}) instead of protected: '
                          f'{status.get("text", "")}')
        self.samples.append((time.monotonic(), status))
        return status

    def _sample_when_due(self):
        if time.monotonic() - self.samples[-1][0] >= SAMPLE_S:
            self.sample()

    def watch(self, text, bound_s, past=0):
        """Waits for a line on the serial port after character past, and
        samples meanwhile; returns where it ends."""
        def look():
            nonlocal size
            self._sample_when_due()
            before, size = size, self._serial_size()
            if size == before:
                return None
            at = machine.serial().find(text, past)
            return at + len(text) if at >= 0 else None

        machine = self._pair.primary
        size = None
        return wait_for(look, bound_s, f'"{text}" on the serial line of '
                        f'{machine.process.name}', machine.process, POLL_S)

    def _serial_size(self):
        try:
            return os.path.getsize(self._pair.primary.serial_path)
        except FileNotFoundError:
            return 0

    def spend(self, seconds):
        """Looks at it ten times a second meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(SAMPLE_S)
            self._sample_when_due()

    def _machines(self):
        return [machine for machine in
                (self._pair.primary, self._pair.backup) if machine]

    def _used(self):
        return [(process_cpu_s(machine.pid), waited_s(machine.pid))
                for machine in self._machines()]

    def _flow(self):
        """(bytes the guest's card was sent, bytes on the log's channel)"""
        if not self.protected:
            return 0, 0
        return (self._network.input_bytes() or 0,
                channel_bytes(self._network, self._pair))

    def begin(self, moment=None):
        """The start of an interval: now, or a moment just before."""
        self.sample()
        start = {'sample': len(self.samples) - 1,
                 'flow': self._flow(), 'used': self._used(),
                 'own': time.process_time()}
        start['moment'] = moment or time.monotonic()
        return start

    def end(self, start, moment=None):
        """What there is to say about the interval from start to now."""
        end = moment or time.monotonic()
        self.sample()
        result = {'seconds': end - start['moment'],
                  'client_cpu_s': time.process_time() - start['own']}
        for name, now, then in zip(('', 'backup_'), self._used(),
                                   start['used']):
            result[f'{name}cpu_s'] = now[0] - then[0]
            result[f'{name}waited_s'] = sum(
                seconds - then[1].get(thread, 0)
                for thread, seconds in now[1].items())
        if not self.protected:
            return result
        samples = self.samples[start['sample']:]
        lag = [status['lag-ms'] for _, status in samples]
        seconds = samples[-1][0] - samples[0][0]
        size = samples[-1][1]['appended'] - samples[0][1]['appended']
        read, sent = (now - then for now, then
                      in zip(self._flow(), start['flow']))
        result.update({
            'log_bytes': size, 'input_bytes': read, 'channel_bytes': sent,
            'log_mbit_s': sent * 8 / 1e6 / seconds,
            # Packets' share of the log is their share of the channel.
            'own_bytes': sent * max(size - read, 0) / max(size, 1),
            'lag_ms_median': statistics.median(lag),
            'lag_ms_max': max(lag),
            'held_outputs_max': max(status['held-outputs']
                                    for _, status in samples),
        })
        result['log_own_mbit_s'] = result['own_bytes'] * 8 / 1e6 / seconds
        return result
