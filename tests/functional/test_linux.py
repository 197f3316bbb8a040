#!/usr/bin/python3
"""A real guest: Debian's kernel and redis-server, each write synchronous.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'demo'))

from ftlib import guest  # noqa: E402
from ftlib.pair import Pair, assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect  # noqa: E402
from ftlib.resp import Redis  # noqa: E402
from load import Load  # noqa: E402

BOOT_S = 120
TAKEOVER_S = 20


class Linux(unittest.TestCase):

    def wait_acks(self, load, count, timeout=60):
        wait_for(lambda: load.error or len(load.acks) >= count, timeout,
                 f'{count} acknowledged writes')
        self.assertIsNone(load.error)

    def test_redis_outlives_the_primary(self):
        with Pair(append='ft.job=redis') as pair:
            pair.start()
            pair.primary.wait_serial(guest.READY, BOOT_S)
            load = Load(pair.redis_port, seed=1)
            load.start()
            self.wait_acks(load, 200)
            assert_equal_digest(pair.primary, pair.backup, 30)
            self.assertEqual(pair.backup.query()['state'], 'protected')
            self.assertEqual(pair.backup.serial(), '')
            self.wait_acks(load, len(load.acks) + 100)
            pair.primary.process.kill()
            killed = len(load.acks)
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            self.wait_acks(load, killed + 200)
            load.stop()
            self.assertEqual(load.check(), {
                'found': len(load.acks), 'lost': 0, 'wrong': 0})
            load.close()
            # The administrator's commands work on the survivor.
            qmp = pair.backup.qmp
            qmp.command('system_reset')
            qmp.wait_event('RESET')
            pair.backup.wait_serial(guest.READY, BOOT_S)
            # What was acknowledged is on the survivor's disk too.
            redis = Redis(pair.redis_port)
            self.assertEqual(redis.command('DBSIZE'), len(load.acks))
            redis.close()

    def test_log_executes_again(self):
        """With disk and network, from one machine's file, without a peer."""
        with tempfile.TemporaryDirectory(prefix='ft-disk-') as directory:
            disk = os.path.join(directory, 'start.raw')
            guest.make_disk(disk)
            with open(disk, 'rb') as file:
                before = file.read()
            with Pair(append='ft.job=redis', template=disk) as pair:
                pair.start()
                pair.primary.wait_serial(guest.READY, BOOT_S)
                load = Load(pair.redis_port, seed=2)
                load.start()
                self.wait_acks(load, 200)
                assert_equal_digest(pair.primary, pair.backup, 30)
                load.stop()
                load.close()
                pair.primary.qmp.command('quit')
                for machine in (pair.primary, pair.backup):
                    self.assertEqual(machine.process.wait(30), 0)
                log = os.path.join(pair.directory, 'a', pair.log)
                replay = pair.start_replay_apart(log, disk, ',show=on')
                self.assertEqual(replay.process.wait(BOOT_S), 0,
                                 replay.process.errors())
                said = re.search(r'(\d+) digests equal',
                                 replay.process.errors())
                self.assertGreater(int(said[1]), 0)
                self.assertEqual(replay.serial(), pair.primary.serial())
                with open(disk, 'rb') as file:
                    self.assertEqual(file.read(), before)
                # On a disk that has changed since, it says so.
                changed = os.path.join(pair.directory, 'a', 'disk.raw')
                replay = pair.start_replay_apart(log, changed, name='changed')
                self.assertEqual(replay.process.wait(30), 1)
                self.assertIn('needs the disk as it was',
                              replay.process.errors())

    def test_running_guest_gets_backups(self):
        """Twice, under load: by a socket, then by a file."""
        with Pair(append='ft.job=redis') as pair:
            pair.start_switch()
            begin_alone(pair)
            now = pair.primary
            now.wait_serial(guest.READY, BOOT_S)
            load = Load(pair.redis_port, seed=2)
            load.start()
            for name, way in (('b', 'unix'), ('c', 'file')):
                self.wait_acks(load, len(load.acks) + 50)
                backup = protect(pair, way, now, name)
                for _ in range(3):
                    self.wait_acks(load, len(load.acks) + 50)
                    now.qmp.command('x-ft-digest', timeout=30)
                    event = backup.qmp.wait_event('FT_DIGEST', timeout=30)
                    self.assertTrue(event['data']['equal'])
                now.process.kill()
                backup.wait_state('alone', timeout=TAKEOVER_S)
                now = backup
            self.wait_acks(load, len(load.acks) + 200)
            load.stop()
            self.assertEqual(load.check(), {
                'found': len(load.acks), 'lost': 0, 'wrong': 0})
            load.close()

    def test_tick_outlives_the_backup_and_powers_off(self):
        with Pair(append='ft.job=tick ft.size=1') as pair:
            pair.start()
            pair.primary.wait_serial('FT-GUEST TICK 2', BOOT_S)
            assert_equal_digest(pair.primary, pair.backup, 30)
            pair.backup.process.kill()
            pair.primary.wait_state('alone', timeout=TAKEOVER_S)
            seen = pair.primary.serial().count('FT-GUEST TICK ')
            pair.primary.wait_serial(f'FT-GUEST TICK {seen + 3}', 30)

    def test_guest_powers_off_and_both_end(self):
        with Pair(append='ft.job=sleep ft.size=1 ft.end=poweroff') as pair:
            pair.start()
            for machine in (pair.primary, pair.backup):
                self.assertEqual(machine.process.wait(BOOT_S), 0,
                                 machine.process.errors())
            self.assertIn('FT-GUEST JOB sleep end', pair.primary.serial())
            with open(os.path.join(pair.directory, 'a', 'disk.raw'),
                      'rb') as first, \
                    open(os.path.join(pair.directory, 'b', 'disk.raw'),
                         'rb') as second:
                self.assertEqual(first.read(), second.read())


if __name__ == '__main__':
    unittest.main()
