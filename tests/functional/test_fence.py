#!/usr/bin/python3
"""The fence: a machine that was overtaken changes no byte of a shared disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import FtTimeout, paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.shared import LunPair, SharedPair, reports  # noqa: E402
from ftlib.target import MIB, Istgt, Tgt  # noqa: E402

TAKEOVER_S = 40
FAILED, LOST = 3, 4
WRITES = 4                      # of the eight requests of the guest
LUNS = {'lease': MIB, 'disk': rom.DISK_MB * MIB}


def fence(machine):
    return machine.query()['disks']['fence']


class Fence(unittest.TestCase):
    def setUp(self):
        self.lease = self.enterContext(Tgt({'lease': MIB}))

    def enterContext(self, context):         # python 3.10 has none
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def make(self, kind=Tgt, fenced=True, relay=False, **rest):
        target = self.enterContext(kind(LUNS, **rest))
        return target, self.enterContext(
            LunPair(target, self.lease, fenced, relay=relay))

    def test_takeover(self):
        _, pair = self.make()
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        self.assertIn('only this machine', fence(pair.primary))
        self.assertIn('the guest fences', fence(pair.backup))
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        self.assertIn('only this machine', fence(pair.backup))
        self.assertIn('fence: fenced', pair.backup.qmp.hmp('info ft'))
        pair.rest()
        pair.go_on()

    @staticmethod
    def backup_has_its_writes(pair):
        """True: the answer to writes that wait is in the stalled link.

        What a machine says of its log is a moment old: the log that these
        writes wait for is in what it says next.
        """
        def within(condition):
            # Before its log stalls, or it takes its backup for dead.
            return wait_for(condition, 0.4, 'it', interval=0.001)

        def said(machine, what):
            return machine.query()[what]
        try:
            within(lambda: pair.primary.query()['disks']['held-writes'] >=
                   WRITES)
            before = said(pair.primary, 'appended')
            within(lambda: said(pair.primary, 'appended') > before)
            after = said(pair.primary, 'appended')
            within(lambda: said(pair.backup, 'acknowledged') >= after)
        except FtTimeout:
            return False
        return True

    def stop_with_writes(self, pair):
        """The answer they wait for is in its socket already."""
        for _ in range(20):
            pair.relay.tcp.stall('to-client')
            if self.backup_has_its_writes(pair):
                pair.primary.process.signal(signal.SIGSTOP)
                pair.relay.restore()
                return
            pair.relay.restore()
        self.fail('no writes had to wait')

    def wake_with_writes(self, fenced):
        """Its backup's acknowledgement lets writes go when it wakes.

        Returns whether they changed the disk.
        """
        _, pair = self.make(fenced=fenced, relay=True, io_threads=16)
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        self.stop_with_writes(pair)
        pair.overtake(TAKEOVER_S)
        pair.rest()
        before = pair.digest()
        self.lease.pause()                  # so that only the disk can tell
        pair.primary.process.signal(signal.SIGCONT)
        if fenced:
            wait_for(lambda: 'nothing is written' in fence(pair.primary), 20,
                     'a refused write', pair.primary.process)
        else:
            wait_for(lambda: pair.digest() != before, 20, 'another digest',
                     pair.primary.process)
        self.lease.resume()
        self.assertIn(pair.primary.process.wait(TAKEOVER_S), (FAILED, LOST))
        self.assertRegex(pair.primary.process.errors(),
                         '"b" (has )?won generation')
        changed = pair.digest() != before
        if fenced:
            pair.go_on()
        return changed

    def test_primary_that_wakes_with_writes_in_its_hands(self):
        self.assertFalse(self.wake_with_writes(True))

    def test_without_the_fence_they_reach_the_disk(self):
        self.assertTrue(self.wake_with_writes(False))

    def hold_writes(self, target, pair):
        """The target has taken writes, and does them when it is let."""
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        target.faults.hold_writes(120)
        wait_for(lambda: target.faults.held >= WRITES, 10, 'writes in the target',
                 pair.primary.process)
        pair.primary.process.signal(signal.SIGSTOP)
        target.faults.write_percent = 0     # those to come are not held

    def release(self, target):
        target.faults.release_writes()
        wait_for(lambda: target.faults.held == 0, 10, 'writes to be done')

    def test_writes_inside_the_target_are_waited_for(self):
        target, pair = self.make(io_threads=16, faulty=True)
        self.hold_writes(target, pair)
        status = wait_for(
            lambda: next((now for now in [pair.backup.query()]
                          if now['reason'] == 'fence-waits'), None),
            TAKEOVER_S, 'a fence that waits', pair.backup.process)
        self.assertEqual(status['state'], 'fencing')
        self.assertIn('waiting for', status['text'])
        wait_for(lambda: f'{target.uri("disk")}: '
                 in pair.backup.query().get('text', ''), TAKEOVER_S,
                 'that it says what it waits for', pair.backup.process)
        self.assertGreater(target.faults.held, 0)
        self.release(target)
        pair.overtake(TAKEOVER_S)
        pair.rest()
        pair.go_on()

    def test_without_the_fence_they_land_late(self):
        target, pair = self.make(fenced=False, io_threads=16, faulty=True)
        self.hold_writes(target, pair)
        pair.overtake(TAKEOVER_S)
        pair.rest()
        before = pair.digest()
        self.release(target)
        self.assertNotEqual(pair.digest(), before)

    def test_winner_that_slept_before_it_fenced(self):
        """It takes its successor's place, sees that, and gives it up."""
        target, pair = self.make(io_threads=16, faulty=True)
        self.hold_writes(target, pair)
        wait_for(lambda: pair.backup.query()['reason'] == 'fence-waits',
                 TAKEOVER_S, 'a fence that waits', pair.backup.process)
        pair.backup.process.signal(signal.SIGSTOP)
        pair.primary.process.kill()
        subprocess.run([paths.ft_lease(), 'claim', '--force', '--node', 'c',
                        self.lease.uri('lease')], check=True, timeout=60,
                       capture_output=True)
        self.release(target)
        machine = pair.start_other_primary('c')
        machine.wait_state('connecting')
        machine.qmp.command('ft-stop')
        machine.wait_state('alone')
        pair.wait_reports(machine, 3)
        pair.backup.process.signal(signal.SIGCONT)
        self.assertIn(pair.backup.process.wait(TAKEOVER_S), (FAILED, LOST))
        self.assertIn('"c" has won generation 4',
                      pair.backup.process.errors())
        pair.wait_reports(machine, len(reports(machine)) + 4)
        wait_for(lambda: 'only this machine' in fence(machine), TAKEOVER_S,
                 'the fence', machine.process)
        pair.assert_no_errors()
        machine.end()
        pair.assert_whole(target.path('disk'))

    def test_target_that_restarts_while_the_loser_sleeps(self):
        """It forgets all reservations, and the loser's session is gone."""
        target, pair = self.make()
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        pair.overtake(TAKEOVER_S)
        pair.rest()
        target.kill()
        self.lease.pause()
        pair.primary.process.signal(signal.SIGCONT)
        wait_for(lambda: 'nothing is written' in fence(pair.primary), 20,
                 'a session that ended', pair.primary.process)
        before = pair.digest()
        target.start()
        self.lease.resume()
        self.assertIn(pair.primary.process.wait(TAKEOVER_S), (FAILED, LOST))
        self.assertEqual(pair.digest(), before)
        pair.go_on()

    def test_target_restarts_under_load(self):
        target, pair = self.make()
        pair.protect()
        for _ in range(2):
            pair.wait_reports(pair.primary, len(reports(pair.primary)) + 2)
            target.restart()
        pair.wait_reports(pair.primary, len(reports(pair.primary)) + 4)
        wait_for(lambda: 'only this machine' in fence(pair.primary), 20,
                 'the fence', pair.primary.process)
        self.assertEqual(pair.primary.query()['state'], 'protected')
        pair.overtake(TAKEOVER_S)
        target.restart()
        pair.rest()
        pair.primary.process.kill()
        pair.go_on()

    def test_target_without_reservations(self):
        _, pair = self.make(Istgt)
        pair.protect()
        pair.wait_reports(pair.primary, 3)
        self.assertIn('not fenced', fence(pair.primary))
        pair.primary.process.kill()
        pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        self.assertIn('not fenced', fence(pair.backup))
        pair.rest()
        pair.go_on()

    def test_file(self):
        with SharedPair() as pair:
            pair.protect()
            self.assertIn('no iSCSI LUN', fence(pair.primary))


if __name__ == '__main__':
    unittest.main()
