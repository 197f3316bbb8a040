#!/usr/bin/python3
"""A file system and a database on a shared disk, through many takeovers.

Debian's guest with ext4 and redis-server, which says that a write is done
after its fsync.  The machine that runs it is killed at each point of a
write's way to the disk; the backup takes over, and gets a new backup.  No
write that a client was told of may be missing, in memory or on the disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'demo'))

from ftlib import guest  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import protect  # noqa: E402
from ftlib.resp import Redis  # noqa: E402
from ftlib.shared import SharedLinuxPair  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402
from load import Load  # noqa: E402

BOOT_S = 180
TAKEOVER_S = 60
DIES_S = 60
WRITES_MAX = 100
POINTS = ('submitted', 'logged', 'sent', 'acknowledged', 'issued',
          'completed', 'ended', 'delivered')


def check_file_system(path):
    """As after a loss of power: its journal is applied, and nothing else."""
    fsck = ['/sbin/e2fsck', '-f']
    done = subprocess.run([*fsck, '-p', path], text=True,
                          capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    done = subprocess.run([*fsck, '-n', path], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class SharedLinux(unittest.TestCase):
    def setUp(self):
        seed = random.SystemRandom().randrange(1 << 32)
        self.random = random.Random(seed)
        print(f'# seed {seed}')

    def wait_acks(self, load, more):
        count = len(load.acks) + more
        wait_for(lambda: load.error or len(load.acks) >= count, 60,
                 f'{more} more acknowledged writes')
        self.assertIsNone(load.error)

    def kill_all_the_way(self, pair, path, points, work=''):
        """work: what the guest says of work that goes on beside redis."""
        pair.start()
        now, backup = pair.primary, pair.backup
        now.wait_serial(guest.READY, BOOT_S)
        now.wait_serial(work, BOOT_S)
        load = Load(pair.redis_port, seed=1)
        load.start()
        for number, point in enumerate(points):
            self.wait_acks(load, 100)
            if number % 4 == 0:
                assert_equal_digest(now, backup, 60)
            now.qmp.command('x-ft-fault', **{
                'disk-point': point,
                'disk-count': self.random.randint(1, WRITES_MAX)})
            self.assertEqual(now.process.wait(DIES_S), -signal.SIGKILL)
            backup.wait_state('alone', timeout=TAKEOVER_S)
            now = backup
            if number + 1 < len(points):
                backup = protect(pair, 'unix', now, f'c{number}')
        self.wait_acks(load, 100)
        now.wait_serial(work, BOOT_S)
        load.stop()
        self.assertEqual(load.check(), {'found': len(load.acks), 'lost': 0,
                                        'wrong': 0})
        load.close()
        for machine in pair.machines:
            self.assertNotIn('ERROR', machine.serial())
        # On the disk, too: of a machine that loses its power now.
        now.process.kill()
        now.process.wait(10)
        check = os.path.join(pair.directory, 'check.raw')
        shutil.copyfile(path, check)
        check_file_system(check)
        again = pair.start_cold(now.node)
        again.wait_serial(guest.READY, BOOT_S)
        redis = Redis(pair.redis_port)
        self.assertEqual(redis.command('DBSIZE'), len(load.acks))
        redis.close()
        again.end()
        check_file_system(path)

    def test_on_a_file(self):
        with SharedLinuxPair(append='ft.job=redis') as pair:
            self.kill_all_the_way(pair, pair.disk_path, POINTS)

    def test_on_a_lun(self):
        size = guest.DISK_MB * MIB
        with Tgt({'disk': size}, io_threads=16) as target, \
                SharedLinuxPair(append='ft.job=redis',
                                place=target.uri('disk'),
                                disk_path=target.path('disk')) as pair:
            self.kill_all_the_way(pair, target.path('disk'), POINTS[::2])

    def test_on_a_lun_that_the_backup_reads(self):
        """reads=own, and the guest reads back what it writes, and again."""
        size = guest.DISK_MB * MIB
        with Tgt({'disk': size}, io_threads=16) as target, \
                SharedLinuxPair(append='ft.job=readback',
                                place=target.uri('disk'),
                                disk_path=target.path('disk'),
                                drive=',cache=none', ft=',reads=own') as pair:
            self.kill_all_the_way(pair, target.path('disk'),
                                  ('acknowledged', 'completed'),
                                  work='WORK back.1')

    def test_reset_while_the_backup_reads(self):
        """With writes in the target that take some time."""
        size = guest.DISK_MB * MIB
        with Tgt({'disk': size}, io_threads=16, faulty=True) as target, \
                SharedLinuxPair(append='ft.job=readback',
                                place=target.uri('disk'),
                                disk_path=target.path('disk'),
                                drive=',cache=none', ft=',reads=own') as pair:
            pair.start()
            for boot in (1, 2):
                self.wait_work(pair.primary, boot)
                target.faults.delay_writes(100, 200)
                pair.primary.qmp.command('system_reset', 60)
                for machine in (pair.primary, pair.backup):
                    machine.qmp.wait_event('RESET', timeout=60)
                assert_equal_digest(pair.primary, pair.backup, 60)
                target.faults.release_writes()
            self.wait_work(pair.primary, 3)
            assert_equal_digest(pair.primary, pair.backup, 60)
            pair.primary.process.kill()
            pair.backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.backup.qmp.command('system_reset', 60)
            self.wait_work(pair.backup, 1)      # what it said since it is live
            for machine in pair.machines:
                self.assertNotIn('ERROR', machine.serial())

    def wait_work(self, machine, boots):
        """It reads back what it wrote, since the last of so many boots."""
        wait_for(lambda: 'WORK back.1' in guest.said_since_boot(
            machine.serial(), boots), BOOT_S, f'work after boot {boots}',
            machine.process)


if __name__ == '__main__':
    unittest.main()
