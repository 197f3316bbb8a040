"""A client of the guest's redis that knows what every answer has to be.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import random
import threading

from ftlib import FtError
from ftlib.process import take_precedence
from ftlib.resp import Redis

KEYS = 200
ANSWER_BOUND_S = 60
END_KEY = 'soak:end'


class Client(threading.Thread):
    """Sets, gets and deletes on one connection, over whatever happens."""

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self._redis = Redis(port, timeout=ANSWER_BOUND_S)
        self._rng = random.Random(seed)
        self._known = {}
        self._stop_asked = threading.Event()
        self.answers = 0
        self.error = None

    def _one(self):
        key = f'key:{self._rng.randrange(KEYS)}'
        what = self._rng.random()
        if what < 0.6:
            size = self._rng.choice([8, 100, 1400, 9000, 40000])
            value = self._rng.randbytes(size)
            answer = self._redis.command('SET', key, value)
            expected = b'OK'
            self._known[key] = value
        elif what < 0.9:
            answer = self._redis.command('GET', key)
            expected = self._known.get(key)
        else:
            answer = self._redis.command('DEL', key)
            expected = int(self._known.pop(key, None) is not None)
        if answer != expected:
            raise FtError(f'{key}: the answer {answer!r:.80} is not '
                          f'{expected!r:.80}, after {self.answers} answers')
        self.answers += 1

    def run(self):
        take_precedence()
        try:
            while not self._stop_asked.is_set():
                self._one()
            self._redis.command('SET', END_KEY, '1')
        except FtError as error:
            self.error = str(error)

    def stop(self):
        """Ends the work, and with it the guest; does not wait."""
        self._stop_asked.set()

    def close(self):
        self._redis.close()
