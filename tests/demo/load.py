"""The load: one client, one TCP connection, one write at a time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import statistics
import threading
import time

from ftlib import FtError
from ftlib.resp import Redis

ANSWER_BOUND_S = 60         # a write that takes longer counts as a failure
READ_BATCH = 500            # keys of one read when all are read back


class Load(threading.Thread):
    """Sets key:0, key:1, ... and notes when each was acknowledged."""

    def __init__(self, port, seed, host='127.0.0.1'):
        super().__init__(daemon=True)
        self._redis = Redis(port, host, timeout=ANSWER_BOUND_S)
        self._seed = seed
        self._stop_asked = threading.Event()
        self.acks = []              # CLOCK_MONOTONIC of each, in order
        self.started = time.monotonic()
        self.error = None           # why it ended by itself

    def _value(self, number):
        return b'%d:%d' % (self._seed, number * 2654435761 % 2**32)

    def run(self):
        try:
            while not self._stop_asked.is_set():
                number = len(self.acks)
                answer = self._redis.command('SET', f'key:{number}',
                                             self._value(number))
                if answer != b'OK':
                    raise FtError(f'redis answered {answer!r} to a write')
                self.acks.append(time.monotonic())
        except FtError as error:
            self.error = str(error)

    def stop(self):
        """Lets the write that is under way finish."""
        self._stop_asked.set()
        self.join(ANSWER_BOUND_S + 5)

    def check(self):
        """Reads every acknowledged key back, on the same connection."""
        found = lost = wrong = 0
        for first in range(0, len(self.acks), READ_BATCH):
            numbers = range(first, min(first + READ_BATCH, len(self.acks)))
            values = self._redis.command(
                'MGET', *[f'key:{number}' for number in numbers])
            for number, value in zip(numbers, values):
                if value is None:
                    lost += 1
                elif value != self._value(number):
                    wrong += 1
                else:
                    found += 1
        return {'found': found, 'lost': lost, 'wrong': wrong}

    def close(self):
        self._redis.close()

    def rate(self, seconds=1.0):
        """Acknowledged writes a second, of late."""
        since = time.monotonic() - seconds
        count = 0
        for moment in reversed(self.acks):
            if moment < since:
                break
            count += 1
        return count / seconds

    def silence(self):
        """Seconds since the last acknowledgement."""
        return time.monotonic() - (self.acks or [self.started])[-1]

    def gaps_before(self, moment):
        """Median and longest time between acknowledgements up to moment."""
        times = [ack for ack in self.acks if ack <= moment]
        gaps = [b - a for a, b in zip(times, times[1:])]
        if not gaps:
            return {'median_s': None, 'longest_s': None}
        return {'median_s': statistics.median(gaps), 'longest_s': max(gaps)}

    def blackout(self, moment):
        """(start, end) of the longest time without one, moment or later."""
        before = [ack for ack in self.acks if ack <= moment]
        after = [ack for ack in self.acks if ack > moment]
        times = before[-1:] + after
        if not after or len(times) < 2:
            raise FtError('no write was acknowledged after the kill')
        return max(zip(times, times[1:]), key=lambda pair: pair[1] - pair[0])
