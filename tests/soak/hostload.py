"""What makes a round hard: a busy host, stopped processes, a slow link.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import heapq
import signal
import sys
import time

from ftlib.process import Process

# Works and rests in turns, so that the scheduler has to think.
HOG = '''
import random, time
rng = random.Random(%d)
while True:
    end = time.monotonic() + rng.uniform(.01, .2)
    while time.monotonic() < end:
        pass
    time.sleep(rng.uniform(0, .05))
'''


class HostLoad:
    """Carries out a plan's events, in turns of whoever calls act()."""

    def __init__(self, plan, pair, relay):
        self._plan = plan
        self._pair = pair
        self._relay = relay
        self._hogs = []
        self._queue = []            # (when, number, what, seconds)
        self._number = 0
        self._stopped = {}          # side: how often
        self._stalled = 0

    def begin(self):
        self._hogs = [
            Process(f'hog{number}', [sys.executable, '-c', HOG % number],
                    self._pair.directory)
            for number in range(self._plan['hogs'])]
        if self._plan['throttle_bytes_per_s']:
            self._relay.tcp.throttle(self._plan['throttle_bytes_per_s'])
        now = time.monotonic()
        for moment, what, seconds in self._plan['events']:
            self.add(now + moment, what, seconds)

    def add(self, when, what, seconds=0):
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, what, seconds))

    def act(self):
        """Does what is due."""
        while self._queue and self._queue[0][0] <= time.monotonic():
            _, _, what, seconds = heapq.heappop(self._queue)
            verb, _, noun = what.partition(' ')
            if noun == 'link':
                self._link(verb, seconds)
            else:
                self._process(verb, noun, seconds)

    def _process(self, verb, side, seconds):
        process = getattr(self._pair, side).process
        if process.poll() is not None:
            return
        if verb == 'stop':
            self._stopped[side] = self._stopped.get(side, 0) + 1
            process.signal(signal.SIGSTOP)
            self.add(time.monotonic() + seconds, f'continue {side}')
            return
        self._stopped[side] -= 1
        if not self._stopped[side]:
            process.signal(signal.SIGCONT)

    def _link(self, verb, seconds):
        if verb == 'stall':
            self._stalled += 1
            self._relay.stall()
            self.add(time.monotonic() + seconds, 'restore link')
            return
        self._stalled -= 1
        if not self._stalled:
            self._relay.restore()

    def is_stopped(self, side):
        return bool(self._stopped.get(side))

    def end(self):
        """Everything goes on as on a quiet host."""
        for side, count in self._stopped.items():
            process = getattr(self._pair, side).process
            if count and process.poll() is None:
                process.signal(signal.SIGCONT)
        self._stopped.clear()
        self._queue.clear()
        for hog in self._hogs:
            hog.end()
        self._hogs = []
        self._relay.tcp.throttle(None)
        self._relay.restore()
