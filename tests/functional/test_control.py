#!/usr/bin/python3
"""What an administrator does to a pair reaches both machines (M16, M27).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import signal
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.relay import frame_start  # noqa: E402
from ftlib.rom import RomPair, SerialLine  # noqa: E402
from ftlib.wire import END  # noqa: E402

TAKEOVER_S = 30
FAILED, LOST = 3, 4
BEHIND = 'behind its backup\'s back'
FOLLOWS = 'a backup follows its primary; give the command there'


def run_state(machine):
    return machine.qmp.command('query-status')['status']


def no_boot_missing(history):
    """Whether the guest that resets itself could have printed this text."""
    boots = [re.fullmatch(r'reset boot=(\d+) nvram=\d+ next=\S+', line)
             for line in rom.lines(history)]
    return [match and int(match[1]) for match in boots] == \
        list(range(1, len(boots) + 1))


def wait_run_state(machine, state):
    wait_for(lambda: run_state(machine) == state, 30,
             f'{state} of {machine.process.name}', machine.process)


def wait_equal(pair):
    """Until the backup has executed all that the primary appended."""
    def look():
        status = pair.backup.query()
        return status['executed'] >= pair.primary.query()['appended']
    wait_for(look, 30, 'that the backup has executed all')


class Pause(unittest.TestCase):
    def test_backup_follows_stop_and_cont(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            for _ in range(3):
                pair.primary.qmp.command('stop')
                wait_run_state(pair.primary, 'paused')
                wait_run_state(pair.backup, 'paused')
                count = rom.last_count(pair.primary)
                icount = pair.primary.query()['icount']
                self.assertEqual(pair.backup.query()['icount'], icount)
                pair.primary.qmp.command('cont')
                wait_run_state(pair.backup, 'running')
                rom.wait_count(pair.primary, count + 50)
            rom.check_counter(rom.text(pair.primary))
            self.assertEqual(pair.primary.query()['state'], 'protected')

    def test_takeover_while_paused_stays_paused(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.primary.qmp.command('stop')
            wait_run_state(pair.backup, 'paused')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(run_state(pair.backup), 'paused')
            icount = pair.backup.query()['icount']
            self.assertEqual(pair.backup.query()['icount'], icount)
            pair.backup.qmp.command('cont')
            wait_run_state(pair.backup, 'running')
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 100)
            rom.check_counter(pair.history())

    def test_paused_pair_loses_its_backup(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.primary.qmp.command('stop')
            wait_run_state(pair.backup, 'paused')
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(run_state(pair.primary), 'paused')
            pair.primary.qmp.command('cont')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))

    def test_started_paused(self):
        """-S: the guest begins when it is told to."""
        with RomPair('counter', extra=['-S']) as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                self.assertNotEqual(run_state(machine), 'running')
            pair.primary.qmp.command('cont')
            rom.wait_count(pair.primary, 50)
            wait_run_state(pair.backup, 'running')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 50)
            rom.check_counter(pair.history())

    def test_commands_while_paused(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.primary.qmp.command('stop')
            wait_run_state(pair.backup, 'paused')
            pair.primary.qmp.command('system_reset')
            for machine in (pair.primary, pair.backup):
                machine.qmp.wait_event('RESET')
            wait_equal_state(self, pair)
            pair.primary.qmp.command('ft-failover')
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(pair.primary.process.wait(30), LOST)
            pair.backup.qmp.command('cont')
            wait_for(lambda: 'counter 000100\r' in rom.text(pair.backup), 10,
                     'that the backup counts from the start',
                     pair.backup.process)

    def test_hmp_stop_and_cont(self):
        with RomPair('counter-halt') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 20)
            self.assertEqual(pair.primary.qmp.hmp('stop'), '')
            wait_run_state(pair.backup, 'paused')
            self.assertEqual(pair.primary.qmp.hmp('cont'), '')
            wait_run_state(pair.backup, 'running')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)


class Answer(unittest.TestCase):
    """QMP's answer promises something: it waits for the backup (M5)."""

    def test_answer_waits_for_the_acknowledgement(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            qmp = pair.primary.qmp
            for command, state in (('stop', 'paused'), ('cont', 'running')):
                pair.relay.tcp.stall('to-client')
                number = qmp.send(command)
                wait_run_state(pair.primary, state)
                # Other commands are answered meanwhile.
                self.assertEqual(pair.primary.query()['state'], 'protected')
                self.assertFalse(qmp.answered(number), command)
                pair.relay.tcp.restore()
                self.assertEqual(qmp.answer(number, command), {})
            self.assertEqual(pair.primary.query()['state'], 'protected')

    def test_answer_leaves_when_alone(self):
        with RomPair('counter', relay=True) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.relay.tcp.stall('to-client')
            number = pair.primary.qmp.send('system_reset')
            pair.primary.qmp.wait_event('RESET')
            self.assertFalse(pair.primary.qmp.answered(number))
            pair.backup.process.kill()
            self.assertEqual(pair.primary.qmp.answer(number, 'reset'), {})
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)

    def test_what_was_answered_outlives_the_primary(self):
        """Killed at once after the answer: the survivor keeps to it."""
        for command, state in (('stop', 'paused'), ('cont', 'running')):
            with self.subTest(command), RomPair('counter') as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                if command == 'cont':
                    pair.primary.qmp.command('stop')
                    wait_run_state(pair.backup, 'paused')
                pair.primary.qmp.command(command)
                pair.primary.process.kill()
                pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                self.assertEqual(run_state(pair.backup), state)


class Reset(unittest.TestCase):
    def test_reset_by_qmp_reaches_both(self):
        for guest in ('counter', 'counter-halt'):
            with self.subTest(guest), RomPair(guest) as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                self.assertEqual(pair.backup.query()['state'], 'protected')
                for boot in (2, 3):
                    pair.primary.qmp.command('system_reset')
                    for machine in (pair.primary, pair.backup):
                        event = machine.qmp.wait_event('RESET')
                        self.assertFalse(event['data']['guest'])
                    wait_for(lambda n=boot: rom.text(pair.primary).count(
                        'counter 000030\r') == n, 10,
                        'that the guest counts again', pair.primary.process)
                pair.primary.qmp.command('x-ft-digest')
                event = pair.backup.qmp.wait_event('FT_DIGEST')
                self.assertTrue(event['data']['equal'])

    def test_takeover_after_a_reset(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.primary.qmp.command('system_reset')
            pair.backup.qmp.wait_event('RESET')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            wait_for(lambda: 'counter 000300\r' in rom.text(pair.backup), 10,
                     'that the backup counts on', pair.backup.process)

    def test_guest_that_resets_itself(self):
        with RomPair('reset') as pair:
            pair.protect()

            def boots(machine):
                return len(rom.lines(rom.text(machine)))
            wait_for(lambda: boots(pair.primary) > 6, 20,
                     'seven boots', pair.primary.process)
            pair.backup.qmp.wait_event('RESET')
            self.assertEqual(pair.backup.query()['state'], 'protected')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            wait_for(lambda: boots(pair.backup) > 4, 20,
                     'five boots more', pair.backup.process)
            pair.history(no_boot_missing)


class End(unittest.TestCase):
    def assert_both_end(self, pair, statuses=(0, 0)):
        got = tuple(machine.process.wait(30)
                    for machine in (pair.primary, pair.backup))
        self.assertEqual(got, statuses,
                         f'{pair.primary.process.errors()}\n'
                         f'{pair.backup.process.errors()}')

    @staticmethod
    def protect_and_run(pair):
        """The guest, which ends soon, begins when both are protected."""
        pair.protect()
        pair.primary.qmp.send('cont')

    def test_guest_powers_off(self):
        with RomPair('poweroff', extra=['-S']) as pair:
            self.protect_and_run(pair)
            events = pair.backup.qmp
            self.assert_both_end(pair)
            self.assertIn('poweroff now', rom.text(pair.primary))
            self.assertEqual(rom.text(pair.backup), '')
            for machine in (pair.primary, pair.backup):
                self.assertIn('ft: ended: ', machine.process.errors())
            with self.assertRaises(Exception):
                events.command('query-ft')

    def test_power_off_loses_no_output(self):
        with RomPair('poweroff', extra=['-S']) as pair:
            self.protect_and_run(pair)
            self.assert_both_end(pair)
            seen = rom.lines(rom.text(pair.primary))
            self.assertEqual(seen[-1], 'poweroff now')
            self.assertEqual(seen[:-1], [f'poweroff in={n}' for n in
                                         range(50, 0, -10)])

    def test_quit_on_the_primary_ends_both(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.primary.qmp.command('quit')
            self.assert_both_end_equal(pair)
            rom.check_counter(rom.text(pair.primary))

    def test_sigterm_to_the_primary_ends_both(self):
        with RomPair('counter-halt') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 20)
            pair.primary.process.signal(signal.SIGTERM)
            self.assert_both_end_equal(pair)

    def assert_both_end_equal(self, pair):
        """The backup ends where the log does, not where it says "quit"."""
        self.assert_both_end(pair)
        for machine in (pair.primary, pair.backup):
            self.assertIn('ft: ended: the VM ended', machine.process.errors())

    def test_primary_dies_after_it_was_told_to_end(self):
        """Its backup wins the lease, and ends as it was to."""
        for how in ('quit', 'SIGTERM'):
            with self.subTest(how), \
                    RomPair('counter', relay=True) as pair:
                self.primary_dies_after(pair, how)

    def primary_dies_after(self, pair, how):
        pair.protect()
        rom.wait_count(pair.primary, 50)
        pair.relay.tcp.stall_before(frame_start(END), 'to-target')
        if how == 'quit':
            pair.primary.qmp.send('quit')
        else:
            pair.primary.process.signal(signal.SIGTERM)
        wait_for(lambda: pair.relay.tcp.stalled, 30, 'the log\'s end')
        pair.primary.process.kill()
        pair.relay.cut()
        self.assertEqual(pair.backup.process.wait(30), 0)
        self.assertRegex(pair.backup.process.errors(),
                         '"b", won generation 2[^$]*ft: ended: the VM')
        rom.check_counter(pair.history())

    def test_no_shutdown_is_a_pause_on_both(self):
        with RomPair('poweroff', extra=['-no-shutdown']) as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                wait_run_state(machine, 'shutdown')
                self.assertEqual(machine.query()['state'], 'protected')
            self.assertIn('poweroff now', rom.text(pair.primary))
            pair.primary.qmp.command('quit')
            self.assert_both_end(pair)

    def test_no_reboot_ends_both(self):
        with RomPair('reset', extra=['-no-reboot', '-S']) as pair:
            self.protect_and_run(pair)
            self.assert_both_end(pair)
            self.assertEqual(len(rom.lines(rom.text(pair.primary))), 1)

    def test_power_button_reaches_both(self):
        """The small guest does not look at it; both machines know of it."""
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            pair.backup.query()
            pair.primary.qmp.command('system_powerdown')
            for machine in (pair.primary, pair.backup):
                machine.qmp.wait_event('POWERDOWN')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            wait_equal_state(self, pair)

    def test_end_while_the_lease_is_away(self):
        """Ending is as safe as dying: it needs nobody's leave."""
        for who, other in (('primary', 'backup'), ('backup', 'primary')):
            with self.subTest(who), RomPair('counter') as pair:
                pair.protect()
                os.rename(pair.lease, pair.lease + '.away')
                getattr(pair, other).process.kill()
                survivor = getattr(pair, who)
                wait_for(lambda m=survivor: m.query()['reason'] ==
                         'lease-unreachable', 30, 'lease-unreachable',
                         survivor.process)
                survivor.process.signal(signal.SIGTERM)
                survivor.process.wait(30)

    def test_told_to_end_after_its_guest_did(self):
        """Which waits for the lease; a person need not."""
        with RomPair('poweroff', extra=['-S']) as pair:
            self.protect_and_run(pair)
            rom.writes_on(pair.primary, 1)
            os.rename(pair.lease, pair.lease + '.away')
            pair.backup.process.kill()
            wait_run_state(pair.primary, 'shutdown')
            pair.primary.wait_state('claiming')
            pair.primary.process.signal(signal.SIGTERM)
            self.assertEqual(pair.primary.process.wait(30), FAILED)
            self.assertIn('told to end', pair.primary.process.errors())

    def test_quit_while_paused_ends_both(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.qmp.command('stop')
            wait_run_state(pair.backup, 'paused')
            pair.primary.qmp.command('quit')
            self.assert_both_end(pair)

    def test_ended_backup_leaves_the_primary_alone(self):
        for how in ('SIGTERM', 'quit'):
            with self.subTest(how), RomPair('counter') as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                if how == 'quit':
                    pair.backup.qmp.command('quit')
                else:
                    pair.backup.process.signal(signal.SIGTERM)
                self.assertEqual(pair.backup.process.wait(30), 0)
                pair.primary.wait_state('alone', timeout=TAKEOVER_S)
                rom.wait_count(pair.primary,
                               rom.last_count(pair.primary) + 50)
                rom.check_counter(rom.text(pair.primary))

    def test_end_alone_after_a_takeover(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            rom.wait_count(pair.backup, 50)
            pair.backup.qmp.command('system_reset')
            pair.backup.qmp.wait_event('RESET')
            pair.backup.qmp.command('quit')
            self.assertEqual(pair.backup.process.wait(30), 0)

    def test_guest_powers_off_after_a_takeover(self):
        with RomPair('poweroff', extra=['-S']) as pair:
            self.protect_and_run(pair)
            rom.writes_on(pair.primary, 1)
            pair.primary.process.kill()
            self.assertEqual(pair.backup.process.wait(30), 0)
            self.assertIn('poweroff now', rom.text(pair.backup))

    def test_end_before_a_backup_came(self):
        with RomPair('counter') as pair:
            pair.start_primary()
            pair.primary.wait_state('connecting')
            pair.primary.qmp.command('quit')
            self.assertEqual(pair.primary.process.wait(30), 0)

    def test_end_before_a_primary_came(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.backup.wait_state('listening')
            pair.backup.process.signal(signal.SIGTERM)
            self.assertEqual(pair.backup.process.wait(30), 0)


class SerialInput(unittest.TestCase):
    CHARDEV = 'socket,id=s0,path=serial,server=on,wait=off'

    def test_lines_before_and_after_a_takeover(self):
        with RomPair('serial-echo', serial=self.CHARDEV) as pair:
            pair.protect()
            first = SerialLine(pair.primary)
            second = SerialLine(pair.backup)
            self.addCleanup(first.close)
            self.addCleanup(second.close)
            first.wait('serial ready')
            # A backup takes no input (M1).
            second.send('nobody hears this\r')
            for number in range(1, 6):
                first.send(f'line {number}\r')
                first.wait(f'serial {number:06} LINE {number}\r\n')
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            for number in range(6, 11):
                second.send(f'line {number}\r')
                second.wait(f'serial {number:06} LINE {number}\r\n')
            self.assertNotIn('NOBODY', first.text + second.text)
            # The survivor may repeat the end of what was heard (M8).
            repeated = second.text[:second.text.index('serial 000006')]
            self.assertTrue(first.text.endswith(repeated), repeated)

    def test_input_while_alone(self):
        with RomPair('serial-echo', serial=self.CHARDEV) as pair:
            pair.protect()
            line = SerialLine(pair.primary)
            self.addCleanup(line.close)
            line.wait('serial ready')
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            for number in range(1, 6):
                line.send(f'line {number}\r')
                line.wait(f'serial {number:06} LINE {number}\r\n')


class Commands(unittest.TestCase):
    def test_failover_by_either_side(self):
        for side in ('primary', 'backup'):
            with self.subTest(side), RomPair('counter') as pair:
                pair.protect()
                rom.wait_count(pair.primary, 50)
                getattr(pair, side).qmp.command('ft-failover')
                status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
                self.assertEqual(status['generation'], 2)
                self.assertIn('"b", won generation 2', status['text'])
                self.assertEqual(pair.primary.process.wait(30), LOST)
                self.assertIn('"b" won generation 2',
                              pair.primary.process.errors())
                rom.wait_count(pair.backup,
                               rom.last_count(pair.primary) + 100)
                rom.check_counter(pair.history())

    def test_stop_protecting(self):
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            with self.assertRaisesRegex(QmpError, 'on the primary'):
                pair.backup.qmp.command('ft-stop')
            pair.primary.qmp.command('ft-stop')
            status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['reason'], 'unpaired')
            self.assertEqual(status['lease'], {
                'uri': f'dir:{pair.lease}', 'generation': 2, 'owner': 'a',
                'partner': ''})
            self.assertEqual(pair.backup.process.wait(30), 0)
            self.assertIn('runs on alone', pair.backup.process.errors())
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))
            with self.assertRaisesRegex(QmpError, 'alone already'):
                pair.primary.qmp.command('ft-stop')
            with self.assertRaisesRegex(QmpError, 'not protected'):
                pair.primary.qmp.command('ft-failover')

    def test_stop_waiting_for_a_backup(self):
        with RomPair('counter') as pair:
            pair.start_primary()
            status = pair.primary.wait_state('connecting')
            self.assertFalse(rom.text(pair.primary))
            with self.assertRaisesRegex(QmpError, 'ft-stop'):
                pair.primary.qmp.command('cont')
            pair.primary.qmp.command('ft-stop')
            status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 1)
            rom.wait_count(pair.primary, 100)
            rom.check_counter(rom.text(pair.primary))
            pair.primary.qmp.command('stop')
            wait_run_state(pair.primary, 'paused')
            pair.primary.qmp.command('cont')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)

    def test_refused_on_both(self):
        """What would change the machine in no log entry."""
        with RomPair('counter') as pair:
            pair.protect()
            for machine in (pair.primary, pair.backup):
                for name, arguments in (
                        ('device_add', {'driver': 'virtio-rng-pci'}),
                        ('device_del', {'id': 'x'}),
                        ('eject', {'device': 'x'}),
                        ('balloon', {'value': 1 << 23}),
                        ('object-add', {'qom_type': 'iothread', 'id': 'i'}),
                        ('block_resize', {'device': 'x', 'size': 512}),
                        ('qom-set', {'path': '/', 'property': 'x',
                                     'value': 1})):
                    with self.subTest(name, side=machine.node):
                        with self.assertRaisesRegex(QmpError, BEHIND):
                            machine.qmp.command(name, **arguments)
                for line in ('device_add virtio-rng-pci',
                             'eject x', 'savevm x', 'balloon 8',
                             'object_add iothread,id=i'):
                    with self.subTest(line, side=machine.node):
                        self.assertIn(BEHIND, machine.qmp.hmp(line))
                self.assertEqual(machine.query()['state'], 'protected')
            count = rom.last_count(pair.primary)
            rom.wait_count(pair.primary, count + 50)

    def test_refused_on_the_backup(self):
        with RomPair('counter') as pair:
            pair.protect()
            for name in ('stop', 'cont', 'system_reset', 'system_powerdown'):
                with self.subTest(name):
                    with self.assertRaisesRegex(QmpError, FOLLOWS):
                        pair.backup.qmp.command(name)
                    self.assertIn(FOLLOWS, pair.backup.qmp.hmp(name))
            with self.assertRaisesRegex(QmpError, 'give the command there'):
                pair.backup.qmp.command('x-ft-digest')
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 50)
            wait_equal_state(self, pair)

    def test_primary_only_commands_work_after_a_takeover(self):
        with RomPair('counter') as pair:
            pair.protect()
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.qmp.command('stop')
            wait_run_state(pair.backup, 'paused')
            pair.backup.qmp.command('cont')
            self.assertEqual(pair.backup.qmp.hmp('stop'), '')
            self.assertEqual(pair.backup.qmp.hmp('cont'), '')
            rom.wait_count(pair.backup, rom.last_count(pair.backup) + 50)

    def test_without_ft(self):
        with RomPair('counter') as pair:
            pair.start_plain()
            status = pair.primary.query()
            self.assertEqual((status['role'], status['state']),
                             ('none', 'off'))
            self.assertIn('without -ft', status['text'])
            self.assertIn('without -ft', pair.primary.qmp.hmp('info ft'))


def wait_equal_state(test, pair):
    """Both still follow one log, instruction for instruction."""
    pair.primary.qmp.command('x-ft-digest')
    event = pair.backup.qmp.wait_event('FT_DIGEST')
    test.assertTrue(event['data']['equal'])


if __name__ == '__main__':
    unittest.main()
