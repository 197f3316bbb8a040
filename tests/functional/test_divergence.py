#!/usr/bin/python3
"""Faults made on purpose are found, and leave evidence (M25).

Each fault is put into a real pair: into the backup's memory, registers or
devices, or into the log on its way.  The backup has to stop before a second
digest passes, with the words that name the fault, and the primary goes on
alone.  FT_FAULT_TABLE=FILE writes what was found as a table.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import glob
import os
import re
import stat
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import entries, rom, tamper, wire  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.qmp import QmpError  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

FAILED = 3                      # exit status: ft/control.h
END_S = 30
RAM_SIZE = 16 << 20             # ftlib.rom
COLD = 0x900000                 # no small guest writes there
SCRATCH = 0x3ff                 # the serial port's spare register
CR2 = 28                        # as a debugger counts; unused by the guest
VIRTUAL_TIMERS = entries.CHECKPOINT + 4
LOG_WORDS = 'the log that was executed since the last digest'
# Whichever comes first.
STUCK_WORDS = f'no progress at log position .* there is log|{LOG_WORDS}'
rows = []


def bundles(pair, node='b'):
    return sorted(glob.glob(os.path.join(pair.directory, node, 'evidence',
                                         '*-*')))


def read(bundle, name):
    with open(os.path.join(bundle, name), encoding='utf-8') as file:
        return file.read()


class Memory:
    """The guest's memory in a QEMU process, behind its back."""

    def __init__(self, machine):
        self._pid = machine.pid
        said = machine.qmp.command('human-monitor-command',
                                   command_line='gpa2hva 0x100000')
        self._base = int(re.search(r'is (0x[0-9a-f]+)', said)[1], 16) \
            - 0x100000

    def read(self, at, size):
        with open(f'/proc/{self._pid}/mem', 'rb', buffering=0) as file:
            file.seek(self._base + at)
            return file.read(size)

    def flip(self, at):
        byte = self.read(at, 1)[0]
        with open(f'/proc/{self._pid}/mem', 'r+b', buffering=0) as file:
            file.seek(self._base + at)
            file.write(bytes([byte ^ 0x10]))

    def written_page(self):
        """A page that the guest writes all the time, and a quiet byte of it."""
        def changed():
            before = self.read(0, 2 << 20)
            time.sleep(.2)
            after = self.read(0, 2 << 20)
            for at in range(0, len(before), 4096):
                page = before[at:at + 4096]
                if page != after[at:at + 4096] and not any(page[:64]) \
                        and at >= 0x100000:
                    return at + 16
            return None
        return wait_for(changed, 20, 'a page that the guest writes')


class Divergence(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        path = os.environ.get('FT_FAULT_TABLE')
        if path and rows:
            with open(path, 'w', encoding='utf-8') as file:
                file.write('| seeded fault | found after | digests between | '
                           'evidence says |\n|---|---|---|---|\n')
                file.writelines(f'| {" | ".join(row)} |\n'
                                for row in sorted(rows))

    def protect(self, rom_name='counter', extra=''):
        pair = RomPair(rom_name, relay=True)
        self.enterContext(pair)
        pair.start_backup(',x-faults=on' + extra)
        self.tamper = tamper.Tamper(pair.relay)
        pair.start_primary()
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        self.wait_digests(pair, 1)
        return pair

    def wait_digests(self, pair, count):
        def look():
            digests = pair.backup.query()['digests']
            return digests if digests >= count else 0
        return wait_for(look, END_S, f'{count} digests', pair.backup.process)

    def assert_found(self, pair, fault, words, moment, passed, most=1):
        """passed: digests before the fault, or None: another way finds it."""
        self.assertEqual(pair.backup.process.wait(END_S), FAILED)
        after = time.monotonic() - moment
        self.assertRegex(pair.backup.process.errors(), words)
        status = pair.primary.wait_state('alone')
        self.assertRegex(status['text'], words)
        count = rom.last_count(pair.primary)
        rom.wait_count(pair.primary, count + 2)
        (bundle,) = bundles(pair)
        self.assertIn(bundle, pair.backup.process.errors())
        self.assertIn(bundle, status['text'])
        summary = read(bundle, 'summary.txt')
        self.assertRegex(summary, words)
        between = 'none needed'
        if passed is not None:
            number = int(re.search(r'^digest (\d+)',
                                   read(bundle, 'digest-here.txt'))[1])
            # One may have been under way when the fault was made.
            self.assertLessEqual(number - passed, most + 1)
            between = f'{max(number - passed - 1, 0)}'
        rows.append((fault, f'{after:.2f} s', between,
                     re.sub(r'\d{4,}', 'N', summary.splitlines()[0])))
        return bundle

    # --- the machine --------------------------------------------------------

    def test_register(self):
        pair = self.protect()
        passed, moment = self.wait_digests(pair, 1), time.monotonic()
        pair.backup.qmp.command('x-ft-fault', register=CR2)
        bundle = self.assert_found(pair, 'bit of a register',
                                   'register CR2 differs', moment, passed)
        self.check_bundle(bundle)

    def check_bundle(self, bundle):
        self.assertEqual(stat.S_IMODE(os.stat(bundle).st_mode), 0o700)
        here, there = (read(bundle, f'digest-{side}.txt').splitlines()
                       for side in ('here', 'there'))
        self.assertEqual(here[0], there[0])
        self.assertTrue(any(line.endswith('mc146818rtc') for line in here))
        self.assertIn('EAX=', read(bundle, 'registers.txt'))
        self.assertIn('-ft backup,', read(bundle, 'command.txt'))
        self.assertTrue(os.path.getsize(
            os.path.join(bundle, 'devices', 'serial')))
        log = self.read_log(os.path.join(bundle, 'tail.log'))
        self.assertIn(entries.DIGEST, {entry[0] for entry in log})

    def read_log(self, path):
        """The entries of a log file."""
        data = b''
        with open(path, 'rb') as file:
            file.seek(32)       # its own header
            kinds = []
            while frame := wire.read_frame(file):
                kinds.append(frame[0])
                data += frame[5] if frame[0] == wire.LOG else b''
        self.assertEqual((kinds[0], kinds[-1]), (wire.HELLO, wire.END))
        return entries.split(data)

    def test_device_field(self):
        pair = self.protect()
        passed, moment = self.wait_digests(pair, 1), time.monotonic()
        pair.backup.qmp.command('x-ft-fault', port=SCRATCH, value=0x55)
        self.assert_found(pair, 'register of a device',
                          'device serial differs', moment, passed)

    def test_written_memory(self):
        pair = self.protect()
        memory = Memory(pair.backup)
        at = memory.written_page()
        passed, moment = self.wait_digests(pair, 1), time.monotonic()
        memory.flip(at)
        bundle = self.assert_found(pair, 'bit in a page that is written',
                                   'memory differs within', moment, passed)
        self.assertIn(f'pc.ram 0x{at & ~4095:x} to', read(bundle,
                                                         'summary.txt'))

    def test_cold_memory(self):
        pair = self.protect()
        memory = Memory(pair.backup)
        passed, moment = self.wait_digests(pair, 1), time.monotonic()
        memory.flip(COLD + 5)
        bundle = self.assert_found(
            pair, 'bit in a page that nobody writes',
            'memory differs within pc.ram', moment, passed,
            most=RAM_SIZE // (8 << 20) + 2)
        first, last = re.search(r'within pc.ram 0x([0-9a-f]+) to 0x([0-9a-f]+)',
                                read(bundle, 'summary.txt')).groups()
        self.assertLessEqual(int(first, 16), COLD)
        self.assertGreater(int(last, 16), COLD)
        self.assertLess(int(last, 16) - int(first, 16), 256 << 10)

    # --- the log ------------------------------------------------------------

    def assert_log_fault(self, fault, change, words=LOG_WORDS, guest='counter'):
        pair = self.protect(guest)
        self.tamper.once(change)
        moment = self.tamper.wait()
        stuck = words == STUCK_WORDS
        return self.assert_found(pair, fault, words, moment,
                                 None if stuck else self.tamper.digests)

    def test_interrupt_dropped(self):
        self.assert_log_fault('interrupt dropped',
                              tamper.drop(entries.INTERRUPT), STUCK_WORDS)

    def test_interrupt_duplicated(self):
        self.assert_log_fault('interrupt duplicated',
                              tamper.duplicate(entries.INTERRUPT),
                              STUCK_WORDS)

    def test_interrupt_moved(self):
        self.assert_log_fault('interrupt moved by one instruction',
                              tamper.move(entries.INTERRUPT))

    def test_timer_dropped(self):
        bundle = self.assert_log_fault('run of the timers dropped',
                                       tamper.drop(VIRTUAL_TIMERS),
                                       STUCK_WORDS)
        summary = read(bundle, 'summary.txt')
        if LOG_WORDS in summary:
            self.assertIn('device i8254 differs', summary)

    def test_timer_duplicated(self):
        self.assert_log_fault('run of the timers duplicated',
                              tamper.duplicate(VIRTUAL_TIMERS), STUCK_WORDS)

    def test_clock_changed(self):
        self.assert_log_fault('clock reading changed by 1 us',
                              tamper.flip_clock(entries.CLOCK_ELAPSED),
                              STUCK_WORDS, 'counter-halt')

    def test_clock_dropped(self):
        self.assert_log_fault('clock reading dropped',
                              tamper.drop(entries.CLOCK_ELAPSED),
                              STUCK_WORDS, 'counter-halt')

    def test_digest_that_is_none(self):
        def shorten(log):
            at = next((n for n, entry in enumerate(log)
                       if entry[0] == entries.DIGEST), None)
            if at is None:
                return None
            payload = log[at][5:40]
            return log[:at] + [bytes([entries.DIGEST]) + len(payload).to_bytes(
                4, 'big') + payload] + log[at + 1:]
        pair = self.protect()
        self.tamper.once(shorten)
        moment = self.tamper.wait()
        self.assert_found(pair, 'digest cut short',
                          "a digest in the log can't be used", moment, None)


class Evidence(unittest.TestCase):
    def diverge(self, pair, extra='', primary=''):
        pair.start_backup(',x-faults=on' + extra)
        pair.start_primary(',new=on' + primary)
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        rom.wait_count(pair.primary, 20)
        pair.backup.qmp.command('x-ft-fault', register=CR2)
        self.assertEqual(pair.backup.process.wait(END_S), FAILED)
        return pair.backup.process.errors()

    def test_whole_log_is_kept_and_replays(self):
        with RomPair('counter') as pair:
            self.diverge(pair, ',log=b.log')
            (bundle,) = bundles(pair)
            log = os.path.join(bundle, 'session.log')
            self.assertTrue(os.path.getsize(log))
            self.assertFalse(os.path.exists(
                os.path.join(pair.directory, 'b', 'b.log')))
            self.assertIn(f'replay,log={log}', read(bundle, 'summary.txt'))
            # The fault was in the machine: the log replays without it.
            replay = pair.start_machine('r', f'replay,log={log}')
            self.assertEqual(replay.process.wait(60), 0,
                             replay.process.errors())
            self.assertRegex(replay.process.errors(), r'[1-9]\d* digests equal')

    def test_replay_of_a_bad_log_finds_the_same(self):
        with RomPair('counter', relay=True) as pair:
            pair.start_backup(',log=b.log')
            change = tamper.Tamper(pair.relay)
            pair.start_primary()
            rom.wait_count(pair.primary, 20)
            change.once(tamper.move(entries.INTERRUPT))
            self.assertEqual(pair.backup.process.wait(END_S), FAILED)
            (bundle,) = bundles(pair)
            log = os.path.join(bundle, 'session.log')
            replay = pair.start_machine('r', f'replay,log={log}')
            self.assertEqual(replay.process.wait(60), FAILED)
            self.assertIn(LOG_WORDS, replay.process.errors())
            (again,) = bundles(pair, 'r')
            for name in ('digest-here.txt', 'digest-there.txt'):
                self.assertEqual(read(again, name), read(bundle, name))
            self.assertTrue(os.path.exists(log))

    def test_old_bundles_go(self):
        with RomPair('counter') as pair:
            parent = os.path.join(pair.directory, 'b', 'evidence')
            for number in range(12):
                old = os.path.join(parent, f'20200101-0000{number:02}-b-1')
                os.makedirs(os.path.join(old, 'devices'))
                for name in ('summary.txt', 'devices/serial'):
                    with open(os.path.join(old, name), 'wb'):
                        pass
            other = os.path.join(parent, '2020-not-a-bundle')
            os.makedirs(other)
            self.diverge(pair)
            left = [os.path.basename(path) for path in bundles(pair)]
            self.assertIn('2020-not-a-bundle', left)
            left.remove('2020-not-a-bundle')
            self.assertEqual(len(left), 8)
            self.assertEqual(left[0], '20200101-000005-b-1')

    def test_no_place_for_it(self):
        with RomPair('counter') as pair:
            said = self.diverge(pair, ',evidence=/proc/nowhere')
            self.assertIn('register', said)
            self.assertRegex(said, "no evidence could be written to "
                             "'/proc/nowhere'.*evidence=DIR")


class Watch(unittest.TestCase):
    def test_main_thread_of_the_primary_hangs(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.start_primary(',new=on,x-faults=on')
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')
            rom.wait_count(pair.primary, 20)
            with self.assertRaises(Exception):
                pair.primary.qmp.command('x-ft-fault', timeout=.1,
                                         hang_ms=120000)
            self.assertEqual(pair.primary.process.wait(60), FAILED)
            self.assertIn('main thread hangs', pair.primary.process.errors())
            pair.backup.wait_state('alone')
            rom.check_counter(pair.history())

    def test_faults_have_to_be_asked_for(self):
        with RomPair('counter') as pair:
            pair.protect()
            with self.assertRaisesRegex(QmpError, 'x-faults=on'):
                pair.backup.qmp.command('x-ft-fault', register=CR2)


class Query(unittest.TestCase):
    def test_digests_are_counted(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.start_primary(',new=on,digest-ms=100')
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected')

            def look():
                return pair.backup.query()['digests'] >= 5
            wait_for(look, END_S, 'five digests', pair.backup.process)
            primary = pair.primary.query()
            self.assertEqual(primary['digest-interval-ms'], 100)
            self.assertGreaterEqual(primary['digests'], 5)
            self.assertGreater(primary['digest-position'], 0)
            info = pair.backup.qmp.command('human-monitor-command',
                                           command_line='info ft')
            self.assertRegex(info, r'digests: [1-9]\d* in this session')

    def test_the_interval_can_be_changed(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.start_primary(',new=on,digest-ms=0')
            pair.primary.wait_state('protected')
            with self.assertRaisesRegex(QmpError, 'from 10 to .* not 3'):
                pair.primary.qmp.command('ft-digest-interval', ms=3)
            pair.primary.qmp.command('ft-digest-interval', ms=50)
            self.assertEqual(pair.primary.query()['digest-interval-ms'], 50)
            wait_for(lambda: pair.backup.query()['digests'] >= 3, END_S,
                     'three digests', pair.backup.process)
            pair.primary.qmp.command('ft-digest-interval', ms=0)
            count = pair.primary.query()['digests']
            rom.wait_count(pair.primary, 60)
            self.assertEqual(pair.primary.query()['digests'], count)

    def test_none_when_off(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            pair.start_primary(',new=on,digest-ms=0')
            pair.primary.wait_state('protected')
            rom.wait_count(pair.primary, 60)
            self.assertEqual(pair.primary.query()['digests'], 0)


if __name__ == '__main__':
    unittest.main()
