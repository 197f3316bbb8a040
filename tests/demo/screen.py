"""What a person sees: one line a step; on a terminal the last one is live.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import shutil
import sys
import time

PLAIN_INTERVAL_S = 2        # between progress lines where nobody looks live

RED, GREEN, BOLD, DIM, OFF = (f'\033[{code}m' for code in (31, 32, 1, 2, 0))


class Screen:

    def __init__(self, stream=sys.stdout):
        self._stream = stream
        self._tty = stream.isatty()
        self._start = time.monotonic()
        self._last = 0.0
        self._open = False          # a live line has no end yet

    def _write(self, text):
        self._stream.write(text)
        self._stream.flush()

    def _line(self, name, text, colour=''):
        seconds = time.monotonic() - self._start
        if not self._tty:
            return f'{seconds:7.1f} s  {name:<10} {text}'
        room = shutil.get_terminal_size().columns - 24
        if len(text) > room > 0:
            text = text[:room - 1] + '…'
        return (f'{DIM}{seconds:7.1f} s{OFF}  {BOLD}{name:<10}{OFF} '
                f'{colour}{text}{OFF}')

    def live(self, name, text):
        """Progress: replaces the line before it if that was live too."""
        if self._tty:
            self._write(f'\r\033[K{self._line(name, text)}')
            self._open = True
        elif time.monotonic() - self._last >= PLAIN_INTERVAL_S:
            self._last = time.monotonic()
            self._write(self._line(name, text) + '\n')

    def step(self, name, text, colour=''):
        """A line that stays."""
        start = '\r\033[K' if self._open else ''
        self._open = False
        self._last = time.monotonic()
        self._write(f'{start}{self._line(name, text, colour)}\n')

    def keep(self):
        """The live line stays as it is."""
        if self._open:
            self._write('\n')
            self._open = False

    def good(self, name, text):
        self.step(name, text, GREEN)

    def bad(self, name, text):
        self.step(name, text, RED)

    def text(self, text=''):
        self.keep()
        self._write(text + '\n')

    def result(self, name, text, good=None):
        """A line of the summary."""
        colour = {True: GREEN, False: RED, None: ''}[good]
        if not self._tty:
            colour, off = '', ''
        else:
            off = OFF
        self.text(f'  {name:<12} {colour}{text}{off}')
