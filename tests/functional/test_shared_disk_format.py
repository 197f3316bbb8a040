#!/usr/bin/python3
"""Formats and caches of a shared disk: what one machine wrote the other finds.

A format has tables of where things are, which QEMU keeps in its memory: those
of a backup are old when it takes over, and those of a primary that was killed
are gone.  The guest of disk.rom compares all that it reads with what it wrote.

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

from ftlib import paths  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.protect import protect  # noqa: E402
from ftlib.shared import SharedPair, make_image, reports  # noqa: E402
from ftlib.target import MIB, Tgt  # noqa: E402

TAKEOVER_S = 30
DIES_S = 60
READS = 300
# Small clusters: many of them, and many tables.
QCOW2 = ('-o', 'cluster_size=4k,lazy_refcounts=off')
LUN_MB = 24
POINTS = ('issued', 'completed', 'ended', 'delivered')
LEAKS = 3                   # of qemu-img check: no more than lost space


class Qcow2(unittest.TestCase):
    def setUp(self):
        seed = random.SystemRandom().randrange(1 << 32)
        self.random = random.Random(seed)
        print(f'# seed {seed}')

    def check(self, pair, image):
        done = subprocess.run([paths.qemu_img(), 'check', '-q', '-f',
                               'qcow2', image], text=True,
                              capture_output=True, check=False)
        self.assertIn(done.returncode, (0, LEAKS), done.stdout + done.stderr)
        raw = os.path.join(pair.directory, 'check.raw')
        subprocess.run([paths.qemu_img(), 'convert', '-f', 'qcow2', '-O',
                        'raw', image, raw], check=True)
        pair.assert_whole(raw)

    def take_over(self, pair, path):
        """From one to the next, which opened the image long before."""
        pair.protect()
        now, backup = pair.primary, pair.backup
        for number, point in enumerate(POINTS):
            pair.wait_reports(now, 2)
            assert_equal_digest(now, backup, 60)
            now.qmp.command('x-ft-fault', **{
                'disk-point': point,
                'disk-count': self.random.randint(1, 200)})
            self.assertEqual(now.process.wait(DIES_S), -signal.SIGKILL)
            backup.wait_state('alone', timeout=TAKEOVER_S)
            pair.wait_reports(backup, 2, reports(now)[-1][1] + READS)
            now = backup
            if number + 1 < len(POINTS):
                backup = protect(pair, 'unix', now, f'c{number}')
        pair.assert_no_errors()
        now.process.kill()              # nothing is put in order at the end
        now.process.wait(20)
        self.check(pair, path)

    def test_on_a_file(self):
        with SharedPair(kind='qcow2', faults=True) as pair:
            make_image(pair.disk_path, 'qcow2', *QCOW2)
            self.take_over(pair, pair.disk_path)

    def test_on_a_lun(self):
        with Tgt({'disk': LUN_MB * MIB}, io_threads=16) as target, \
                SharedPair(kind='qcow2', place=target.uri('disk'),
                           faults=True) as pair:
            image = os.path.join(pair.directory, 'image')
            make_image(image, 'qcow2', *QCOW2)
            with open(image, 'rb') as source, \
                    open(target.path('disk'), 'r+b') as lun:
                shutil.copyfileobj(source, lun)
            self.take_over(pair, target.path('disk'))


class Refused(unittest.TestCase):
    def refused(self, pair, text):
        pair.start_primary()
        self.assertEqual(pair.primary.process.wait(30), 1)
        self.assertIn(text, pair.primary.process.errors())

    def test_parts_elsewhere(self):
        with SharedPair(kind='qcow2') as pair:
            base = os.path.join(pair.directory, 'base')
            make_image(base)
            make_image(pair.disk_path, 'qcow2', '-b', base, '-F', 'raw')
            self.refused(pair, 'with a backing or a data file')
        with SharedPair(kind='qcow2') as pair:
            data = os.path.join(pair.directory, 'data')
            make_image(pair.disk_path, 'qcow2', '-o', f'data_file={data}')
            self.refused(pair, 'with a backing or a data file')

    @unittest.skipIf(os.geteuid(), 'only root makes a block device of a file')
    def test_memory_of_one_host(self):
        """A device may be a SAN's, and then its cache is not the other's."""
        with SharedPair() as pair:
            done = subprocess.run(
                ['losetup', '--show', '-f', pair.disk_path], text=True,
                capture_output=True, check=False)
            if done.returncode:
                self.skipTest(f'losetup: {done.stderr.strip()}')
            device = done.stdout.strip()
            self.addCleanup(subprocess.run, ['losetup', '-d', device],
                            check=True)
            pair.options[:] = [word.replace(pair.disk_path, device)
                               for word in pair.options]
            self.refused(pair, 'add cache=none')


if __name__ == '__main__':
    unittest.main()
