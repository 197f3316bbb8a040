#!/usr/bin/python3
"""The guest's clocks keep real time, and never go back.

The guest "time" prints all its clocks ten times a second.  Its time stamp
counter is the virtual clock, in ns.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import calendar
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import process_cpu_s, wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

LINE = re.compile(r'time rtc=(?P<rtc>\S+) tsc=(?P<tsc>\d+) .*monotonic=ok')
WINDOW_S = 2
# Twice in a row, so that a clock that only passes by is not taken for right:
# without the discipline this guest's clock moves by more in WINDOW_S.
DRIFT_S = 0.2
# It catches up by running, so what it has for that is time of a core, of which
# a busy host has little.  Then it also is late by what it waited for one.
SETTLE_CPU_S = 20
SETTLE_S, SETTLE_MAX_S = 40, 200
BUSY_SHARE, BUSY_DRIFT_S = 0.6, 1
PAUSE_S = 3
SLOW_SHIFT = 5          # 32 ns: 31 million instructions a second
HOURS = 3 * 3600
LIBFAKETIME = '/usr/$LIB/faketime/libfaketimeMT.so.1'


class Reading:
    """The guest's clocks, and the host's when they were printed."""

    def __init__(self, match):
        self.host = time.monotonic()
        self.tsc = int(match['tsc']) / 1e9
        self.rtc = calendar.timegm(
            time.strptime(match['rtc'], '%Y-%m-%dT%H:%M:%S'))

    def drift(self, since):
        """How much faster the guest's time ran than the host's."""
        return (self.tsc - since.tsc) - (self.host - since.host)


def last_clocks(machine):
    text = rom.lines(rom.text(machine))[-1]
    match = LINE.fullmatch(text)
    assert match, f'a clock went backwards: {text!r}'
    return Reading(match)


def read_clocks(machine, timeout=30):
    """The next line that the guest prints."""
    # Of a survivor's first line the other machine may have printed a part.
    known = len(rom.lines(rom.text(machine))) or 1
    wait_for(lambda: len(rom.lines(rom.text(machine))) > known, timeout,
             'a line of the guest', machine.process, interval=0.005)
    return last_clocks(machine)


def drift_in_a_window(machine, since):
    """The median, since the host may be late to see a line."""
    drifts = []
    end = time.monotonic() + WINDOW_S
    while time.monotonic() < end:
        drifts.append(read_clocks(machine).drift(since))
    return statistics.median(drifts)


class Hogs:
    """Programs that leave a vCPU about a third of a core."""

    def __init__(self, count=2):
        self._count = count * len(os.sched_getaffinity(0))

    def __enter__(self):
        self._all = [subprocess.Popen([sys.executable, '-c',
                                       'while True: pass'])
                     for _ in range(self._count)]

    def __exit__(self, *_):
        for hog in self._all:
            hog.kill()
            hog.wait()


class Clock(unittest.TestCase):
    def assert_keeps_time(self, machine, since, drift_s=DRIFT_S):
        """Maybe not now, after a takeover or a stall, but soon, and then."""
        begin, begin_cpu_s = time.monotonic(), process_cpu_s(machine.pid)
        drifts, wrong = [], 2
        while wrong:
            took_s = time.monotonic() - begin
            had_s = process_cpu_s(machine.pid) - begin_cpu_s
            if took_s > SETTLE_MAX_S or (took_s > SETTLE_S and
                                         had_s > SETTLE_CPU_S):
                self.fail(f'the guest\'s clock is off by, in s: {drifts}, '
                          f'with {had_s:.0f} s of a core in {took_s:.0f} s')
            drifts.append(drift_in_a_window(machine, since))
            share = (process_cpu_s(machine.pid) - begin_cpu_s - had_s) / \
                (time.monotonic() - begin - took_s)
            good = abs(drifts[-1]) < max(
                drift_s, BUSY_DRIFT_S if share < BUSY_SHARE else 0)
            wrong = wrong - 1 if good else 2
        print('# drift in ms:', ' '.join(f'{drift * 1000:+.0f}'
                                         for drift in drifts))

    def test_busy_guest(self):
        with RomPair('time') as pair:
            pair.protect()
            self.assert_keeps_time(pair.primary, read_clocks(pair.primary))
            assert_equal_digest(pair.primary, pair.backup, 20)

    def test_host_that_is_faster_than_the_clock_counts(self):
        counted = 1e9 / (1 << SLOW_SHIFT)       # instructions a second
        with RomPair('time', ['-icount', f'shift={SLOW_SHIFT}']) as pair:
            pair.protect()
            since = read_clocks(pair.primary)

            def look():
                begin, before = time.monotonic(), pair.primary.query()
                read_clocks(pair.primary)
                done = pair.primary.query()['icount'] - before['icount']
                return done > 1.5 * counted * (time.monotonic() - begin)
            wait_for(look, SETTLE_MAX_S, 'a guest that is not held back',
                     pair.primary.process)
            self.assert_keeps_time(pair.primary, since)
            assert_equal_digest(pair.primary, pair.backup, 20)

    def test_guest_with_a_third_of_a_core(self):
        with RomPair('time') as pair:
            pair.protect()
            since = read_clocks(pair.primary)
            with Hogs():
                # It also waits for its backup, half a second at a time.
                self.assert_keeps_time(pair.primary, since, drift_s=1)
                assert_equal_digest(pair.primary, pair.backup, 20)

    def test_pause_is_no_time(self):
        with RomPair('time') as pair:
            pair.protect()
            read_clocks(pair.primary)
            pair.primary.qmp.command('stop')
            before = last_clocks(pair.primary)
            time.sleep(PAUSE_S)         # must not be seen
            pair.primary.qmp.command('cont')
            after = read_clocks(pair.primary)
            self.assertLess(after.tsc - before.tsc, PAUSE_S - 1)
            self.assert_keeps_time(pair.primary, after)
            assert_equal_digest(pair.primary, pair.backup, 20)

    def test_takeover_and_what_it_took(self):
        with RomPair('time') as pair:
            pair.protect()
            before = read_clocks(pair.primary)
            pair.primary.process.signal(signal.SIGSTOP)
            pair.backup.wait_state('alone')
            self.assertGreater(time.monotonic() - before.host, 0.3)
            self.assert_keeps_time(pair.backup, before)

    def assert_goes_on(self, prefix_primary=(), prefix_backup=()):
        """Kills the primary; neither clock makes a step."""
        with RomPair('time') as pair:
            pair.start_backup(prefix=prefix_backup)
            pair.start_primary(prefix=prefix_primary)
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')
            before = read_clocks(pair.primary)
            assert_equal_digest(pair.primary, pair.backup, 20)
            pair.primary.process.kill()
            pair.backup.wait_state('alone')
            after = read_clocks(pair.backup)
            self.assertGreaterEqual(after.tsc, before.tsc)
            self.assertGreaterEqual(after.rtc, before.rtc)
            rtc_drift = (after.rtc - before.rtc) - (after.host - before.host)
            self.assertLess(abs(rtc_drift), 2.5)
            self.assert_keeps_time(pair.backup, before)

    def test_hosts_clocks_differ_by_hours(self):
        for sign in '+-':
            with self.subTest(primary=f'{sign}{HOURS} s'):
                self.assert_goes_on(prefix_primary=(
                    'env', f'LD_PRELOAD={LIBFAKETIME}',
                    f'FAKETIME={sign}{HOURS}',
                    'FAKETIME_DONT_FAKE_MONOTONIC=1'))

    @unittest.skipIf(os.geteuid(), 'only root makes time namespaces')
    def test_hosts_were_started_hours_apart(self):
        later = ('unshare', '-T', '--monotonic', str(HOURS),
                 '--boottime', str(HOURS))
        for name in ('prefix_primary', 'prefix_backup'):
            with self.subTest(name):
                self.assert_goes_on(**{name: later})


if __name__ == '__main__':
    unittest.main()
