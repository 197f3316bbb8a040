#!/usr/bin/python3
"""A backup that is sent a log it can't follow stops, and says why.

The primary is a test: it pairs in order, streams a real log of the same
guest, and spoils it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import struct
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import entries, rom, wire  # noqa: E402
from ftlib.fake import SESSION, FakePrimary, record  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

FAILED = 3                  # exit status: ft/control.h
END_S = 20
MANY = 1 << 26                  # instructions; such a log is not wrong
STUCK_S = 40                # ft/limits.h: 10 s without a step
LOG_SIZE = 3000

INSTRUCTION, INTERRUPT, ASYNC_CHAR, ASYNC_NET = 0, 1, 7, 9
DISK_RESULT, DISK_DONE = b'\xf4', b'\xfa'
START = b'\xf0' + struct.pack('>I', 1) + b'\0'


def instructions(count):
    return struct.pack('>BI', INSTRUCTION, count)


def array(data):
    return struct.pack('>I', len(data)) + data


def char(number, data):
    return struct.pack('>BB', ASYNC_CHAR, number) + array(data)


def net(number, data, flags=0):
    return struct.pack('>BBI', ASYNC_NET, number, flags) + array(data)


class BadLog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with RomPair('counter') as pair:
            cls.hello, cls.log = record(pair, LOG_SIZE)

    def follow(self, pair, log):
        pair.start_backup()
        pair.backup.wait_state('listening')
        fake = FakePrimary(pair, self.hello)
        fake.send_log(log)
        return fake

    def stops(self, log, *words, ended=False):
        """A backup that gets this log ends by itself, and says these."""
        with RomPair('counter') as pair, self.follow(pair, log) as fake:
            if ended:
                fake.send_end()
            status = pair.backup.process.wait(END_S)
            errors = pair.backup.process.errors()
            self.assertEqual(status, FAILED, errors)
            fake.wait_closed()
            for word in words:
                self.assertIn(word, errors)
                self.assertIn(word, fake.failed or '')

    def test_the_log_as_it_was_is_followed(self):
        with RomPair('counter') as pair, self.follow(pair, self.log) as fake:
            wait_for(lambda: fake.executed == len(self.log), END_S,
                     'that the whole log is executed', pair.backup.process)
            rom.check_counter(rom.text(pair.backup))
            self.assertIsNone(fake.failed)

    def test_a_device_that_is_not_there(self):
        cant = "the log can't be followed"
        self.stops(START + net(77, bytes(60)), cant,
                   'replay_event_net_run')
        self.stops(START + char(77, b'x'), cant,
                   'replay_event_char_read_load')

    def test_values_that_no_machine_logs(self):
        cases = [
            (instructions(0), 'instruction count'),
            (instructions(1) + START, 'a second time'),
            (bytes([21]), 'unknown kind'),          # beyond shutdown causes
            (bytes([28]) + b'\x7f' * 8, 'clock'),
            (net(0, bytes(60), flags=2), 'flags'),
            (net(0, b''), 'shorter or longer'),
            (char(0, b''), 'shorter or longer'),
            (b'\xf1' + array(b'\xff'), 'control entry'),
            (bytes([8]) + b'\xff' * 8, 'number that none has'),
            (instructions(1)[:3], 'ends inside'),
            # a button that no mouse has
            (struct.pack('>BIIB', 5, 1, 4000, 1), 'button'),
        ]
        for entry, words in cases:
            with self.subTest(words):
                self.stops(START + entry, 'is bad', words)
        for log in (instructions(5), b'\xf2' + array(b'\x09')):
            self.stops(log, 'before the guest begins')

    def test_frames_that_fit_and_are_wrong(self):
        cases = [
            (wire.LOG, {'payload': b'x', 'position': 7}, 'expected was'),
            (wire.LOG, {}, 'expected was'),
            (wire.END, {'position': 1}, 'not where the log ends'),
            (wire.HELLO, {'payload': self.hello}, 'does not expect'),
            (wire.ACK, {'payload': bytes(16)}, 'does not expect'),
            (wire.LOG, {'payload': START, 'generation': 9},
             'another session'),
        ]
        for kind, fields, words in cases:
            with self.subTest(kind=kind, words=words), \
                    RomPair('counter') as pair, \
                    self.follow(pair, self.log) as fake:
                if 'payload' in fields and kind == wire.LOG and \
                        'generation' in fields:
                    fields = dict(fields, position=fake.position)
                fake.send(wire.frame(kind, session=SESSION, **fields))
                self.assertEqual(pair.backup.process.wait(END_S), FAILED)
                self.assertIn(words, pair.backup.process.errors())
                fake.wait_closed()
                self.assertIn(words, fake.failed or '')

    def test_spoiled_entries(self):
        """Whatever a live primary sends: 3 with a reason, or it goes on."""
        seed = random.SystemRandom().randrange(1 << 32)
        print(f'# seed {seed}')
        rng = random.Random(seed)
        parts = entries.split(self.log)
        for _ in range(3):
            what, spoiled = entries.mutate(parts, rng)
            while any(entry[0] == entries.INSTRUCTION and
                      entries.count(entry) > MANY for entry in spoiled):
                what, spoiled = entries.mutate(parts, rng)  # takes too long
            with self.subTest(what), RomPair('counter') as pair, \
                    self.follow(pair, b''.join(spoiled)) as fake:
                wait_for(lambda f=fake, p=pair: f.executed == f.position or
                         p.backup.process.poll() is not None, STUCK_S,
                         f'an end after {what}')
                status = pair.backup.process.poll()
                self.assertIn(status, (None, 0, FAILED),
                              pair.backup.process.errors())
                if status == FAILED:
                    self.assertIn(' ft: ', pair.backup.process.errors())


class BadDiskLog(unittest.TestCase):
    """What a log says of disk requests."""

    @classmethod
    def setUpClass(cls):
        with RomPair('disk', disk=True) as pair:
            pair.prepare_disks()
            cls.hello, cls.log = record(pair, LOG_SIZE)

    def stops(self, log, words):
        with RomPair('disk', disk=True) as pair:
            pair.prepare_disks()
            pair.start_backup()
            pair.backup.wait_state('listening')
            with FakePrimary(pair, self.hello) as fake:
                fake.send_log(log)
                self.assertEqual(pair.backup.process.wait(END_S), FAILED)
                fake.wait_closed()
                self.assertIn(words, pair.backup.process.errors())

    def test_own_disk_that_is_said_to_be_shared(self):
        """Its requests would end twice."""
        log = b''
        for entry in entries.split(self.log):
            if entry[0] == entries.BLOCK:
                log += DISK_DONE + array(entry[1:])
            log += entry
        self.stops(log, "this side's own disk does it")

    def test_results_of_requests_that_nobody_makes(self):
        """They would be kept for good."""
        log = self.log + b''.join(
            DISK_RESULT + array(struct.pack('>Qi', 1 << 40 | n, -5))
            for n in range(1 << 17))
        self.stops(log, 'results of')


if __name__ == '__main__':
    unittest.main()
