#!/usr/bin/python3
"""A backup that is slower than its primary (M4, M7, M15).

The backup is stopped for most of the time, in turns too short for anybody
to suspect anything.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import statistics
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import Meanwhile, wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

WATCH_S = 4
LAG_MAX_MS = 3000       # the primary waits from 500 ms on (ft/limits.h)
LAG_USUAL_MS = 400      # and long before it rests for part of its time
TAKEOVER_S = 20


class Throttle(Meanwhile):
    """Stops a process for two thirds of the time; none is taken for dead."""

    def __init__(self, machine):
        super().__init__()
        self._process = machine.process

    def _run(self):
        while not self._end.is_set():
            self._process.signal(signal.SIGSTOP)
            self._end.wait(0.06)
            self._process.signal(signal.SIGCONT)
            self._end.wait(0.03)


def memory_kb(machine):
    with open(f'/proc/{machine.pid}/status', encoding='ascii') as file:
        for line in file:
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
    return 0


class SlowBackup(unittest.TestCase):
    def test_primary_waits_for_it(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 100)
            memory = memory_kb(pair.primary)
            lags = []
            with Throttle(pair.backup):
                end = time.monotonic() + WATCH_S
                while time.monotonic() < end:
                    status = pair.primary.query()
                    self.assertEqual(status['state'], 'protected')
                    lags.append(status['lag-ms'])
                    time.sleep(0.05)
                count = rom.last_count(pair.primary)
                rom.wait_count(pair.primary, count + 20)
            print(f'# lag of a throttled backup: median '
                  f'{statistics.median(lags)}, worst {max(lags)} ms')
            self.assertLess(max(lags), LAG_MAX_MS)
            self.assertLess(statistics.median(lags), LAG_USUAL_MS)
            # Room for what was not acknowledged, not for all of the log.
            self.assertLess(memory_kb(pair.primary), memory + 64 * 1024)
            wait_for(lambda: pair.primary.query()['lag-ms'] < 200, 10,
                     'that the backup has caught up', pair.primary.process)
            pair.primary.qmp.command('x-ft-digest')
            event = pair.backup.qmp.wait_event('FT_DIGEST')
            self.assertTrue(event['data']['equal'])
            rom.check_counter(rom.text(pair.primary))

    def test_takeover_executes_what_it_received(self):
        """M7: the survivor passes every output that the world has seen."""
        for guest in ('counter', 'counter-halt'):
            with self.subTest(guest), RomPair(guest) as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                with Throttle(pair.backup):
                    rom.wait_count(pair.primary,
                                   rom.last_count(pair.primary) + 150)
                    pair.primary.process.kill()
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                rom.wait_count(pair.backup,
                               rom.last_count(pair.primary) + 100)
                rom.check_counter(pair.history())

    def test_disk_of_a_slow_backup(self):
        with RomPair('disk', disk=True) as pair:
            pair.protect()
            with Throttle(pair.backup):
                wait_for(lambda: len(rom.lines(rom.text(pair.primary))) > 10,
                         30, 'ten reports', pair.primary.process)
                pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            known = len(rom.lines(rom.text(pair.backup)))
            wait_for(lambda: len(rom.lines(rom.text(pair.backup))) > known + 5,
                     30, 'five reports more', pair.backup.process)
            self.assertNotIn('ERROR', rom.text(pair.backup))


if __name__ == '__main__':
    unittest.main()
