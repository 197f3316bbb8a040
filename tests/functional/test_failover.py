#!/usr/bin/python3
"""One of the two machines is lost, and what the world sees of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

TAKEOVER_S = 30         # from the kill to "alone"; 0.1 to 0.5 is usual
LOST = 4                # exit status: the other side won the lease


class PrimaryKilled(unittest.TestCase):
    def kill_at(self, guest, count):
        with RomPair(guest) as pair:
            pair.protect()
            rom.wait_count(pair.primary, count)
            pair.primary.process.kill()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['role'], 'primary')
            self.assertEqual(status['generation'], 2)
            self.assertEqual(status['lease']['owner'], 'b')
            self.assertEqual(status['lease']['partner'], '')
            self.assertIn('"b", won generation 2', status['text'])
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            rom.check_counter(pair.history())

    def test_busy_guest_counts_on(self):
        # Where in a line the kill falls differs; one try shows little.
        for count in (50, 77, 120, 150):
            with self.subTest(count=count):
                self.kill_at('counter', count)

    def test_idle_guest_counts_on(self):
        for count in (20, 45):
            with self.subTest(count=count):
                self.kill_at('counter-halt', count)

    def test_before_the_first_output(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(pair.backup, 100)
            rom.check_counter(pair.history())

    def test_events_tell_the_way(self):
        with RomPair('counter-halt') as pair:
            pair.protect()
            qmp = pair.backup.qmp
            pair.primary.process.kill()
            states = [qmp.wait_event('FT_STATE', lambda data: data['new'] ==
                                     new)['data']
                      for new in ('claiming', 'draining', 'alone')]
            self.assertEqual([(data['old'], data['new']) for data in states],
                             [('protected', 'claiming'),
                              ('claiming', 'draining'),
                              ('draining', 'alone')])
            self.assertEqual([data['reason'] for data in states],
                             ['peer-closed', 'won', 'drained'])
            self.assertEqual([data['role'] for data in states],
                             ['backup', 'backup', 'primary'])
            self.assertEqual(states[2]['generation'], 2)
            self.assertIn('alone', qmp.hmp('info ft'))


STEPS = ['detection-us', 'lease-us', 'drain-us', 'switch-us',
         'announcement-us']


SLACK_S = 1
SUSPECT_MS = 240        # a backup's least patience (ft/limits.h)


class TimeLine(unittest.TestCase):
    """Where a takeover's time goes, as the survivor tells."""

    def test_takeover(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            status = pair.backup.query()
            self.assertNotIn('takeover', status)
            self.assertGreater(status['suspect-ms'], status['jitter-ms'])
            before = time.time()
            pair.primary.process.kill()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            after = time.time()
            wait_for(lambda: pair.backup.query()['takeover'][
                'announcement-us'], 10, 'the announcement')
            line = pair.backup.query()['takeover']
            self.assertEqual((line['cause'], line['generation']),
                             ('peer-closed', 2))
            heard = line['heard-us'] / 1e6
            self.assertGreater(heard, before - TAKEOVER_S)
            self.assertLess(heard, after + SLACK_S)
            for step in STEPS[:4]:
                self.assertGreater(line[step], 0, step)
            live = heard + sum(line[step] for step in STEPS[:4]) / 1e6
            # The machine reads two clocks, and a busy host comes between.
            self.assertGreater(live, before - SLACK_S)
            self.assertLess(live, after + SLACK_S)
            text = pair.backup.qmp.hmp('info ft')
            self.assertIn('last takeover (peer-closed, generation 2): '
                          f'detection {line["detection-us"] / 1e3:.1f} ms',
                          text)
            self.assertEqual(status['suspect-ms'], 0)

    def test_silence(self):
        """A peer that only falls silent is found all the same."""
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            pair.relay.stall()
            pair.primary.process.kill()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['cause'], 'peer-silent')
            self.assertGreaterEqual(status['takeover']['detection-us'],
                                    SUSPECT_MS * 1000 * 0.9)

    def test_backup_lost(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.backup.process.kill()
            line = pair.primary.wait_state('alone', timeout=TAKEOVER_S)[
                'takeover']
            self.assertGreater(line['lease-us'], 0)
            self.assertEqual([line[step] for step in STEPS[2:]], [0, 0, 0])


class BackupKilled(unittest.TestCase):
    def test_primary_goes_on_alone(self):
        for guest in ('counter', 'counter-halt'):
            with self.subTest(guest), RomPair(guest) as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                qmp = pair.primary.qmp
                pair.backup.process.kill()
                status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
                self.assertEqual(status['role'], 'primary')
                self.assertEqual(status['generation'], 2)
                self.assertEqual(status['lease']['owner'], 'a')
                self.assertEqual(status['lease']['partner'], '')
                self.assertEqual(status['reason'], 'peer-closed')
                self.assertEqual(status['cause'], 'peer-closed')
                self.assertIn('"a", won generation 2', status['text'])
                event = qmp.wait_event(
                    'FT_STATE', lambda data: data['new'] == 'alone')
                self.assertEqual(event['data']['generation'], 2)
                self.assertEqual(event['data']['reason'], 'peer-closed')
                rom.wait_count(pair.primary,
                               rom.last_count(pair.primary) + 100)
                rom.check_counter(rom.text(pair.primary))
                self.assertEqual(rom.text(pair.backup), '')
                self.assertEqual(pair.primary.query()['held-outputs'], 0)


class PrimaryStopped(unittest.TestCase):
    """A primary that sleeps through the takeover must not go on after it."""

    def stop_and_continue(self, guest):
        with RomPair(guest) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.primary.process.signal(signal.SIGSTOP)
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            before = rom.text(pair.primary)
            pair.primary.process.signal(signal.SIGCONT)
            self.assertEqual(pair.primary.process.wait(10), LOST)
            self.assertIn('"b" won generation 2',
                          pair.primary.process.errors())
            # What it still held may have been acknowledged: then it may leave
            # late, and the backup executed past it.  Nothing new may.
            late = rom.text(pair.primary)[len(before):]
            history = rom.join(before, rom.text(pair.backup))
            rom.check_counter(history)
            self.assertTrue(
                history[len(before):].startswith(late),
                f'after it woke, the old primary sent {late!r}; the '
                'history goes on '
                f'{history[len(before):][:len(late) + 40]!r}')
            rom.wait_count(pair.backup, rom.last_count(pair.backup) + 50)

    def test_busy_guest(self):
        self.stop_and_continue('counter')

    def test_idle_guest(self):
        self.stop_and_continue('counter-halt')


class BackupStopped(unittest.TestCase):
    def test_backup_that_wakes_halts(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 60)
            pair.backup.process.signal(signal.SIGSTOP)
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.process.signal(signal.SIGCONT)
            self.assertEqual(pair.backup.process.wait(10), LOST)
            self.assertIn('"a" won generation 2',
                          pair.backup.process.errors())
            self.assertEqual(rom.text(pair.backup), '')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))

    def test_short_stop_does_no_harm(self):
        # A stopped process counts no silence, and half a second is none to
        # the other side either.
        with RomPair('counter') as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                machine.process.signal(signal.SIGSTOP)
            for machine in (pair.primary, pair.backup):
                machine.process.signal(signal.SIGCONT)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')


if __name__ == '__main__':
    unittest.main()
