#!/usr/bin/python3
"""A shared disk fails, fills up, hangs: what docs/storage.md says happens.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import errno
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.shared import LunPair, SharedPair, reports  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

TAKEOVER_S = 60
STOP_S = 60
HANG_S = 30
LUNS = {'lease': MIB, 'disk': rom.DISK_MB * MIB}
STOP_ON_ERROR = ',werror=stop,rerror=stop'
ALWAYS = f'''[inject-error]
event = "none"
errno = "{errno.EIO}"
'''
FULL_ONCE = f'''[inject-error]
event = "pwritev"
iotype = "write"
errno = "{errno.ENOSPC}"
once = "on"
'''


def run_state(machine):
    return machine.qmp.command('query-status')['status']


def wait_run_state(machine, state):
    wait_for(lambda: run_state(machine) == state, STOP_S,
             f'{state} of {machine.process.name}', machine.process)


def cont(machine):
    """Requests that had failed by then may stop it once more."""
    def look():
        if run_state(machine) == 'io-error':
            machine.qmp.command('cont')
        return run_state(machine) == 'running' \
            and len(reports(machine)) > before
    before = len(reports(machine))
    wait_for(look, STOP_S, f'{machine.process.name} to go on',
             machine.process, interval=0.3)


class Faults(unittest.TestCase):
    def open(self, context):
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def make(self, drive=''):
        lease = self.open(Tgt({'lease': MIB}))
        target = self.open(Tgt(LUNS, faulty=True, io_threads=16))
        pair = self.open(LunPair(target, lease, drive=drive))
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        return target, pair

    def go_on_both(self, pair):
        """They are one machine still; then the backup takes over."""
        pair.wait_reports(pair.primary, len(reports(pair.primary)) + 3)
        assert_equal_digest(pair.primary, pair.backup)
        self.assertEqual(pair.primary.query()['state'], 'protected')
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        pair.wait_reports(pair.backup, 3)

    def stopped_by(self, **fault):
        """werror=stop: both machines stop, and cont tries again."""
        target, pair = self.make(STOP_ON_ERROR)
        for name, value in fault.items():
            setattr(target.faults, name, value)
        for machine in (pair.primary, pair.backup):
            wait_run_state(machine, 'io-error')
        for name in fault:
            setattr(target.faults, name, 0)
        cont(pair.primary)
        self.go_on_both(pair)
        pair.go_on()

    def test_failed_write_stops_both(self):
        self.stopped_by(write_errno=errno.EIO)

    def test_failed_read_stops_both(self):
        self.stopped_by(read_errno=errno.EIO)

    def test_guest_is_told_of_a_failed_write(self):
        """The default, werror=report: an error like any disk's."""
        target, pair = self.make()
        target.faults.write_errno = errno.EIO
        wait_for(lambda: 'ERROR status' in rom.text(pair.primary), STOP_S,
                 'an error that the guest sees', pair.primary.process)
        target.faults.write_errno = 0
        self.go_on_both(pair)
        pair.backup.end()
        pair.assert_whole(target.path('disk'))

    def test_fails_for_the_one_that_takes_over(self):
        target, pair = self.make(STOP_ON_ERROR)
        pair.primary.process.kill()
        target.faults.write_errno = errno.EIO
        wait_run_state(pair.backup, 'io-error')
        self.assertEqual(pair.backup.query()['state'], 'alone')
        target.faults.write_errno = 0
        cont(pair.backup)
        pair.rest()
        pair.go_on()

    def make_failing(self, **texts):
        """Below each machine's disk is what its text for blkdebug says."""
        pair = self.open(SharedPair())
        drive = pair.options.index('-drive') + 1
        pair.options[drive] = pair.options[drive].replace(
            f'file={pair.disk_path}', f'file=blkdebug:fail.conf:'
            f'{pair.disk_path}')
        for node, text in texts.items():
            with open(os.path.join(pair.directory, node, 'fail.conf'), 'w',
                      encoding='ascii') as file:
                file.write(text)
        pair.protect()
        return pair

    def test_backups_way_to_the_disk_fails(self):
        """Each request of its would; it makes none, until it takes over."""
        pair = self.make_failing(a='', b=ALWAYS)
        for _ in range(3):
            pair.wait_reports(pair.primary, len(reports(pair.primary)) + 2)
            assert_equal_digest(pair.primary, pair.backup)
        self.assertEqual(pair.primary.query()['state'], 'protected')
        pair.assert_no_errors()
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        wait_for(lambda: 'ERROR status' in rom.text(pair.backup), STOP_S,
                 'an error that the guest sees', pair.backup.process)

    def test_full_disk_stops_both(self):
        """The default, werror=enospc; made room for, cont goes on."""
        pair = self.make_failing(a=FULL_ONCE, b='')
        for machine in (pair.primary, pair.backup):
            wait_run_state(machine, 'io-error')
        cont(pair.primary)
        self.go_on_both(pair)
        pair.assert_no_errors()
        pair.backup.end()
        pair.assert_whole()

    def test_target_hangs_and_comes_back(self):
        target, pair = self.make()
        target.pause()
        self.addCleanup(target.resume)
        end = time.monotonic() + HANG_S
        before = len(reports(pair.primary))
        wait_for(lambda: 'nothing is written'
                 in pair.primary.query()['disks']['fence'], HANG_S,
                 'that the primary knows', pair.primary.process)
        while time.monotonic() < end:
            self.assertEqual(pair.primary.query()['state'], 'protected')
            time.sleep(0.5)
        target.resume()
        pair.wait_reports(pair.primary, max(before, 3) + 2)
        pair.assert_no_errors()
        self.go_on_both(pair)
        pair.go_on()


if __name__ == '__main__':
    unittest.main()
