#!/usr/bin/python3
"""The lease decides who may run, and is waited for when it can't be asked.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.relay import frame_start  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

TAKEOVER_S = 30
FAILED, LOST, NOT_ELIGIBLE = 3, 4, 5
PAIRED = frame_start(3)


class Away:
    """The lease's directory is gone until back() is called."""

    def __init__(self, pair):
        self._path = pair.lease
        self._away = pair.lease + '.away'
        os.rename(self._path, self._away)

    def back(self):
        os.rename(self._away, self._path)


def wait_reason(machine, state, reason, timeout=TAKEOVER_S):
    def look():
        status = machine.query()
        return status if (status['state'], status['reason']) == (
            state, reason) else None
    return wait_for(look, timeout, f'{state} ({reason}) of '
                    f'{machine.process.name}', machine.process)


class Unreachable(unittest.TestCase):
    def assert_says_what_to_do(self, pair, status):
        self.assertIn(pair.lease, status['text'])
        self.assertIn('waiting', status['text'])

    def test_primary_that_lost_its_backup_waits(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            away = Away(pair)
            pair.backup.process.kill()
            status = wait_reason(pair.primary, 'claiming',
                                 'lease-unreachable')
            self.assert_says_what_to_do(pair, status)
            # It executes and releases nothing.
            quiet = rom.text(pair.primary)
            wait_for(lambda: pair.primary.query()['held-outputs'] >
                     status['held-outputs'] + 100, 30, 'held outputs',
                     pair.primary.process)
            self.assertEqual(rom.text(pair.primary), quiet)
            self.assertIn('claiming', pair.primary.qmp.hmp('info ft'))
            away.back()
            status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 200)
            rom.check_counter(rom.text(pair.primary))

    def test_backup_that_lost_its_primary_waits(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            away = Away(pair)
            pair.primary.process.kill()
            status = wait_reason(pair.backup, 'claiming', 'lease-unreachable')
            self.assert_says_what_to_do(pair, status)
            # It executes what it has, and stands there.
            status = wait_for(
                lambda: next((status for status in [pair.backup.query()]
                              if status['lag-bytes'] == 0), None),
                30, 'that the backup has executed all', pair.backup.process)
            icount = status['icount']
            for _ in range(10):
                status = pair.backup.query()
                self.assertEqual(status['state'], 'claiming')
            self.assertEqual(status['icount'], icount)
            self.assertEqual(rom.text(pair.backup), '')
            away.back()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            rom.check_counter(pair.history())

    def test_cut_without_a_lease_decides_later(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            away = Away(pair)
            pair.relay.stall()
            both = (pair.primary, pair.backup)
            for machine in both:
                wait_reason(machine, 'claiming', 'lease-unreachable')
            away.back()
            wait_for(lambda: any(machine.process.poll() is not None
                                 for machine in both), TAKEOVER_S,
                     'that one of the two gives up')
            loser, winner = both
            if loser.process.poll() is None:
                loser, winner = winner, loser
            self.assertEqual(loser.process.poll(), LOST)
            winner.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(winner, rom.last_count(pair.primary) + 100)
            if winner is pair.primary:
                rom.check_counter(rom.text(pair.primary))
            else:
                rom.check_counter(pair.history())

    def test_protection_does_not_need_it(self):
        with RomPair('counter') as pair:
            pair.protect()
            away = Away(pair)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')
            away.back()
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)

    def test_start_waits_for_the_directory(self):
        with RomPair('counter') as pair:
            away = Away(pair)
            pair.start_backup()
            pair.start_primary()
            status = wait_reason(pair.primary, 'acquiring',
                                 'lease-unreachable')
            self.assert_says_what_to_do(pair, status)
            away.back()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=TAKEOVER_S)
            rom.wait_count(pair.primary, 50)

    def test_pairing_waits(self):
        with RomPair('counter') as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            away = Away(pair)
            pair.start_backup()
            wait_reason(pair.primary, 'pairing', 'lease-unreachable')
            self.assertEqual(rom.text(pair.primary), '')
            self.assertEqual(pair.backup.query()['state'], 'pairing')
            away.back()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=TAKEOVER_S)
            rom.wait_count(pair.primary, 50)

    def test_unpairing_waits(self):
        with RomPair('counter') as pair:
            pair.protect()
            away = Away(pair)
            pair.primary.qmp.command('ft-stop')
            wait_reason(pair.primary, 'ending', 'lease-unreachable')
            away.back()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(pair.backup.process.wait(5), 0)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))

    def test_record_that_was_removed_lets_nobody_go_on(self):
        with RomPair('counter') as pair:
            pair.protect()
            for name in os.listdir(pair.lease):
                os.unlink(os.path.join(pair.lease, name))
            pair.primary.process.kill()
            self.assertEqual(pair.backup.process.wait(30), LOST)
            self.assertIn('record is gone', pair.backup.process.errors())
            self.assertEqual(rom.text(pair.backup), '')

    def test_damaged_record_lets_nobody_start(self):
        with RomPair('counter') as pair:
            with open(os.path.join(pair.lease, 'record.0000000001'),
                      'wb') as file:
                file.write(b'rubbish')
            pair.start_primary()
            status = wait_reason(pair.primary, 'acquiring',
                                 'lease-unreachable')
            self.assertIn('record.0000000001', status['text'])
            self.assertIn('damaged', status['text'])


class Start(unittest.TestCase):
    """Exit status 5, and a line that says what to do instead."""

    def assert_not_eligible(self, machine, *words):
        self.assertEqual(machine.process.wait(30), NOT_ELIGIBLE,
                         machine.process.errors())
        for word in words:
            self.assertIn(word, machine.process.errors())
        self.assertEqual(rom.text(machine), '')

    def end(self, *machines):
        for machine in machines:
            machine.end()

    def test_empty_lease_needs_new(self):
        with RomPair('counter') as pair:
            machine = pair.start_primary(extra='')
            self.assert_not_eligible(machine, 'new=on')
            self.assertEqual(os.listdir(pair.lease), [])

    def test_new_needs_an_empty_lease(self):
        with RomPair('counter') as pair:
            self.end(self.connecting(pair))
            records = sorted(os.listdir(pair.lease))
            self.assert_not_eligible(pair.start_primary(), 'new=on',
                                     'generation 1', '"a"')
            self.assertEqual(sorted(os.listdir(pair.lease)), records)

    def connecting(self, pair, **rest):
        machine = pair.start_primary(**rest)
        machine.wait_state('connecting')
        return machine

    def test_same_node_starts_again(self):
        with RomPair('counter') as pair:
            self.end(self.connecting(pair))
            machine = self.connecting(pair, extra='')
            self.assertEqual(machine.query()['generation'], 2)

    def test_node_not_in_the_record(self):
        with RomPair('counter') as pair:
            self.end(self.connecting(pair))
            self.assert_not_eligible(pair.start_other_primary('c'),
                                     '"a" ran this VM last', 'node=a')

    def test_other_vm(self):
        with RomPair('counter') as pair:
            self.end(self.connecting(pair))
            words = pair.options + [
                '-uuid', '00000000-0000-0000-0000-000000000001']
            machine = pair.start_other_primary('c', words, node='a')
            self.assert_not_eligible(machine, 'another VM')

    def test_after_a_takeover_only_the_winner(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            # While it runs, and after it ended.
            for _ in range(2):
                old = pair.start_other_primary('a')
                self.assert_not_eligible(old, '"b" ran this VM last')
                self.end(pair.backup)
            machine = pair.start_other_primary('b')
            status = machine.wait_state('connecting')
            self.assertEqual(status['generation'], 3)
            self.assertEqual(status['lease']['owner'], 'b')

    def test_dropped_backup_can_not_start(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.end(pair.primary)
            self.assert_not_eligible(pair.start_other_primary('b'),
                                     '"a" ran this VM last')
            machine = pair.start_other_primary('a')
            machine.wait_state('connecting')

    def test_either_may_start_after_an_orderly_end(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.process.wait(30), 0)
            machine = pair.start_other_primary('b')
            status = machine.wait_state('connecting')
            self.assertEqual(status['generation'], 2)
            self.assertEqual(status['lease']['owner'], 'b')

    def test_restart_takes_the_vm_from_a_running_pair(self):
        """A second process in a recorded node's name ends the first pair."""
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            thief = pair.start_other_primary('thief', node='b')
            thief.wait_state('connecting')
            # The pair runs on until one has to ask; then nobody may.
            pair.backup.process.kill()
            self.assertEqual(pair.primary.process.wait(30), LOST)
            self.assertIn('"b" won generation 2',
                          pair.primary.process.errors())


class ThirdMachine(unittest.TestCase):
    def test_second_primary_at_a_busy_backup(self):
        with RomPair('counter') as pair, RomPair('counter') as other:
            pair.protect()
            other.peer_port = pair.listen_port
            second = other.start_primary()
            status = wait_for(
                lambda: next((status for status in [second.query()]
                              if 'another primary' in status['text']), None),
                30, 'a refusal', second.process)
            self.assertEqual(status['state'], 'connecting')
            self.assertEqual(status['reason'], 'peer-busy')
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.query()['state'], 'protected')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertIn(second.query()['state'],
                          ('connecting', 'handshake'))  # it tries on
            self.assertEqual(rom.text(second), '')
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 50)
            rom.check_counter(pair.history())

    def test_second_backup_is_not_in_the_record(self):
        with RomPair('counter') as pair:
            pair.protect()
            spare = pair.start_other_backup('c', paths.free_port())
            spare.wait_state('listening')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            status = spare.query()
            self.assertEqual(status['state'], 'listening')
            self.assertEqual(status['role'], 'backup')
            self.assertEqual(rom.text(spare), '')

    def test_port_in_use(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.backup.wait_state('listening')
            second = pair.start_other_backup('c', pair.listen_port)
            self.assertEqual(second.process.wait(30), 1)
            self.assertIn('in use', second.process.errors())

    def test_two_primaries_start_on_one_empty_lease(self):
        with RomPair('counter') as pair:
            machines = [pair.start_other_primary(name, extra=',new=on')
                        for name in ('a', 'c')]
            loser = wait_for(
                lambda: next((machine for machine in machines
                              if machine.process.poll() is not None), None),
                10, 'that one gives up')
            winner = machines[1 - machines.index(loser)]
            self.assertIn(loser.process.poll(), (LOST, NOT_ELIGIBLE))
            self.assertIn(f'"{winner.node}"', loser.process.errors())
            status = winner.wait_state('connecting')
            self.assertEqual(status['lease']['owner'], winner.node)


class LostWhilePairing(unittest.TestCase):
    """The record knows whether the backup had been named."""

    def paused_before_paired(self, pair):
        """The lease names the backup, which was not told yet."""
        pair.start_backup()
        pair.relay.tcp.stall_before(PAIRED, 'to-target')
        pair.start_primary()
        wait_for(lambda: pair.relay.tcp.stalled, 10, 'PAIRED',
                 pair.primary.process)
        status = pair.primary.wait_state('protected')
        self.assertEqual(status['lease']['partner'], 'b')
        self.assertEqual(pair.backup.query()['state'], 'pairing')

    def test_primary_dies_after_the_lease_names_the_backup(self):
        with RomPair('counter', relay=True) as pair:
            self.paused_before_paired(pair)
            pair.primary.process.kill()
            pair.relay.cut()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            rom.wait_count(pair.backup, 100)
            # It released nothing, so this is a start and no takeover.
            self.assertEqual(rom.text(pair.primary), '')
            rom.check_counter(rom.text(pair.backup))

    def test_primary_dies_before_the_lease_names_the_backup(self):
        with RomPair('counter', relay=True) as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            away = Away(pair)
            pair.start_backup()
            wait_reason(pair.primary, 'pairing', 'lease-unreachable')
            pair.primary.process.kill()
            away.back()
            status = wait_reason(pair.backup, 'listening', 'not-paired')
            self.assertIn('does not name', status['text'])
            pair.primary = pair.start_other_primary('a')
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=TAKEOVER_S)
            rom.wait_count(pair.primary, 50)
            rom.check_counter(rom.text(pair.primary))

    def test_backup_dies_before_it_is_told(self):
        with RomPair('counter', relay=True) as pair:
            self.paused_before_paired(pair)
            pair.backup.process.kill()
            status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            rom.wait_count(pair.primary, 100)
            rom.check_counter(rom.text(pair.primary))

    def test_backup_dies_before_the_lease_names_it(self):
        with RomPair('counter', relay=True) as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            away = Away(pair)
            pair.start_backup()
            wait_reason(pair.primary, 'pairing', 'lease-unreachable')
            pair.backup.process.kill()
            wait_for(lambda: pair.primary.query()['state'] == 'claiming', 30,
                     '"claiming" of the primary', pair.primary.process)
            away.back()
            # Whether it was named is found out, and undone, before the next.
            pair.primary.wait_state('connecting', timeout=TAKEOVER_S)
            self.assertEqual(rom.text(pair.primary), '')
            pair.start_backup()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=TAKEOVER_S)
            rom.wait_count(pair.primary, 50)
            rom.check_counter(rom.text(pair.primary))
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)


if __name__ == '__main__':
    unittest.main()
