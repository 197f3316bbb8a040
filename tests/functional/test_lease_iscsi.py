#!/usr/bin/python3
"""A pair whose lease is on an iSCSI LUN: COMPARE AND WRITE, reservations.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.target import MIB, Chap, Istgt, Tgt  # noqa: E402

# istgt takes a second for each login, one after the other.
TAKEOVER_S = 30
SUSPICION_S = 20
LUNS = {'lease': MIB}
PASSWORD, TARGET_PASSWORD = 'secret-in-file', 'shown-by-target'


def wait_reason(machine, state, reason, timeout=SUSPICION_S):
    def look():
        status = machine.query()
        return status if (status['state'], status['reason']) == (
            state, reason) else None
    return wait_for(look, timeout, f'{state} ({reason}) of '
                    f'{machine.process.name}', machine.process)


class LunPair(RomPair):
    def __init__(self, target, login='', **rest):
        super().__init__('counter', **rest)
        self.lease_uri = target.uri('lease') + login


class Common:
    def test_takeover(self):
        with self.make(LUNS) as target, LunPair(target) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            self.assertEqual(pair.primary.query()['lease']['uri'],
                             target.uri('lease'))
            pair.primary.process.kill()
            status = pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            self.assertEqual(status['lease']['owner'], 'b')
            rom.wait_count(pair.backup, rom.last_count(pair.primary) + 50)
            rom.check_counter(pair.history())

    def check_absence(self, away, back):
        """Nobody goes on while the target is away; then the one that may."""
        with self.make(LUNS) as target, LunPair(target) as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            away(target)
            pair.backup.process.kill()
            status = wait_reason(pair.primary, 'claiming',
                                 'lease-unreachable')
            status = wait_for(
                lambda: next((now for now in [pair.primary.query()]
                              if target.uri('lease') in now['text']), None),
                SUSPICION_S, 'the reason in query-ft', pair.primary.process)
            self.assertIn('waiting for the target', status['text'])
            quiet = rom.text(pair.primary)
            held = status['held-outputs']
            wait_for(lambda: pair.primary.query()['held-outputs'] > held + 50,
                     SUSPICION_S, 'held outputs', pair.primary.process)
            self.assertEqual(rom.text(pair.primary), quiet)
            back(target)
            status = pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            self.assertEqual(status['generation'], 2)
            rom.wait_count(pair.primary, rom.last_count(pair.primary) + 100)
            rom.check_counter(rom.text(pair.primary))

    def test_waits_for_a_target_that_hangs(self):
        self.check_absence(lambda target: target.pause(),
                           lambda target: target.resume())

    def test_waits_for_a_target_that_is_gone(self):
        self.check_absence(lambda target: target.kill(),
                           lambda target: target.start())


class SecretMixin:
    def write(self, pair, name, text):
        path = os.path.join(pair.directory, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text + '\n')
        return path

    def give_secrets(self, pair, password):
        one = self.write(pair, 'one', password)
        two = self.write(pair, 'two', TARGET_PASSWORD)
        pair._options = [*pair.options,
                         '-object', f'secret,id=one,file={one}',
                         '-object', f'secret,id=two,file={two}']

    def assert_nowhere(self, pair, *passwords):
        for where, _, names in os.walk(pair.directory):
            for name in names:
                path = os.path.join(where, name)
                if name in ('one', 'two') or not os.path.isfile(path):
                    continue
                with open(path, 'rb') as file:
                    content = file.read()
                for password in passwords:
                    self.assertNotIn(password.encode(), content, path)
        for machine in (pair.primary, pair.backup):
            seen = str(machine.query()) + machine.qmp.hmp('info ft')
            for password in passwords:
                self.assertNotIn(password, seen)


class TgtTest(Common, SecretMixin, unittest.TestCase):
    make = Tgt
    CHAP = {'chap': Chap('user', PASSWORD),
            'mutual': Chap('box', TARGET_PASSWORD)}
    LOGIN = (',lease-user=user,lease-secret=one,lease-target-user=box,'
             'lease-target-secret=two')

    def test_secrets_from_files(self):
        with Tgt(LUNS, **self.CHAP) as target, \
                LunPair(target, self.LOGIN) as pair:
            self.give_secrets(pair, PASSWORD)
            pair.protect()
            rom.wait_count(pair.primary, 50)
            self.assert_nowhere(pair, PASSWORD, TARGET_PASSWORD)

    def test_wrong_password_is_waited_for_with_advice(self):
        with Tgt(LUNS, **self.CHAP) as target, \
                LunPair(target, self.LOGIN) as pair:
            self.give_secrets(pair, 'not-this-one')
            pair.start_primary()
            status = wait_for(
                lambda: next((now for now in [pair.primary.query()]
                              if 'lease-secret' in now['text']), None),
                SUSPICION_S, 'advice', pair.primary.process)
            self.assertEqual((status['state'], status['reason']),
                             ('acquiring', 'lease-unreachable'))
            self.assertNotIn('not-this-one', str(status))

    def test_password_in_the_uri_is_masked(self):
        with Tgt(LUNS, chap=Chap('user', PASSWORD)) as target, \
                LunPair(target) as pair:
            pair.lease_uri = target.uri('lease', f'user%{PASSWORD}@')
            pair.protect()
            rom.wait_count(pair.primary, 50)
            self.assertIn('user%***@', pair.primary.query()['lease']['uri'])
            self.assertIn('ps shows it', pair.primary.process.errors())
            self.assert_nowhere(pair, PASSWORD)

    def test_secret_that_is_not_there(self):
        with Tgt(LUNS) as target, LunPair(
                target, ',lease-user=user,lease-secret=none') as pair:
            machine = pair.start_primary()
            self.assertEqual(machine.process.wait(20), 1)
            self.assertIn('lease-secret=none', machine.process.errors())


class IstgtTest(Common, unittest.TestCase):
    make = Istgt


if __name__ == '__main__':
    unittest.main()
