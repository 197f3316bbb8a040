#!/usr/bin/python3
"""A machine with a disk of its own gets a backup: QEMU copies the disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import filecmp
import os
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'roms'))

from disk_image import DiskImage  # noqa: E402
from ftlib import paths, rom  # noqa: E402
from ftlib.pair import assert_equal_digest  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.protect import begin_alone, protect_by_copy  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402
from ftlib.shared import make_image  # noqa: E402

SYNC_S = 60
# The guest stands for the rest of the disk, of the memory and the devices.
STANDS_MS = 5000


def disk_of(machine):
    return os.path.join(machine.directory, 'disk.raw')


def wait_pair(old, new):
    old.wait_state('protected', timeout=SYNC_S)
    new.wait_state('protected', timeout=SYNC_S)


def wait_given_up(machine):
    """Returns why it runs alone, once nothing is being copied any more."""
    def look():
        status = machine.query()
        return (status['reason'] == 'protect-failed' and
                'copied-percent' not in status and status)
    status = wait_for(look, SYNC_S, 'the end of the attempt', machine.process)
    return status['text']


class Qcow2Pair(RomPair):
    def prepare_disks(self):
        for node in 'ab':
            make_image(os.path.join(self.directory, node, 'disk.raw'),
                       'qcow2')


class Copy(unittest.TestCase):
    def test_while_it_writes(self):
        """The disks are equal where the log begins, and at its end."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            backup = protect_by_copy(pair)
            wait_pair(pair.primary, backup)
            self.assertNotIn('copied-percent', pair.primary.query())
            stood = pair.primary.qmp.command('query-migrate')['downtime']
            print(f'# the guest stood still for {stood} ms')
            self.assertLess(stood, STANDS_MS)
            # At once: what the guest writes now covers what was not copied.
            assert_equal_digest(pair.primary, backup)
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, backup):
                self.assertEqual(machine.process.wait(30), 0)
            image = DiskImage(disk_of(pair.primary))
            self.assertEqual(image.bad, {})
            self.assertGreater(image.written(), 0)
            self.assertTrue(filecmp.cmp(disk_of(pair.primary),
                                        disk_of(backup), shallow=False))

    def test_what_was_never_written(self):
        """Is zero on the new disk, whatever there was."""
        with Qcow2Pair('disk', disk=True) as pair:
            raw = list(pair.options)
            pair.options[:] = [word.replace('format=raw', 'format=qcow2')
                               for word in raw]
            begin_alone(pair)
            rom.writes_on(pair.primary)
            pair.options[:] = raw
            backup = protect_by_copy(pair, size=rom.DISK_MB << 20)
            wait_pair(pair.primary, backup)
            pair.primary.qmp.command('quit')
            for machine in (pair.primary, backup):
                self.assertEqual(machine.process.wait(30), 0)
            done = subprocess.run(
                [paths.qemu_img(), 'compare', '-f', 'qcow2', '-F', 'raw',
                 disk_of(pair.primary), disk_of(backup)], text=True,
                capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_again_and_again(self):
        """Each survivor's disk goes to the next backup."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            now = pair.primary
            for name in 'bc':
                rom.writes_on(now)
                backup = protect_by_copy(pair, now, name)
                wait_pair(now, backup)
                rom.writes_on(now)
                assert_equal_digest(now, backup)
                now.process.kill()
                backup.wait_state('alone')
                now = backup
            rom.writes_on(now)
            self.assertNotIn('ERROR', rom.text(now))
            now.end()
            image = DiskImage(disk_of(now))
            self.assertEqual(image.bad, {})
            self.assertGreater(image.written(), 0)

    def test_backup_dies_amid_it(self):
        """The guest goes on, and the next attempt succeeds."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            pair.primary.qmp.command('migrate-set-parameters',
                                     **{'max-bandwidth': 1 << 20})
            backup = protect_by_copy(pair)
            wait_for(lambda: 'copied-percent' in pair.primary.query(), 20,
                     'the copy', pair.primary.process)
            backup.process.kill()
            self.assertTrue(wait_given_up(pair.primary))
            rom.writes_on(pair.primary)
            pair.primary.qmp.command('migrate-set-parameters',
                                     **{'max-bandwidth': 1 << 30})
            backup = protect_by_copy(pair, new='c')
            wait_pair(pair.primary, backup)
            rom.writes_on(pair.primary)
            assert_equal_digest(pair.primary, backup)

    def test_stopped_by_a_person(self):
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            pair.primary.qmp.command('migrate-set-parameters',
                                     **{'max-bandwidth': 1 << 20})
            protect_by_copy(pair)
            pair.primary.qmp.command('ft-stop')
            self.assertIn('a person stopped', wait_given_up(pair.primary))
            rom.writes_on(pair.primary)

    def test_quit_amid_it(self):
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            pair.primary.qmp.command('migrate-set-parameters',
                                     **{'max-bandwidth': 1 << 20})
            protect_by_copy(pair)
            wait_for(lambda: 'copied-percent' in pair.primary.query(), 20,
                     'the copy', pair.primary.process)
            pair.primary.qmp.command('quit')
            self.assertEqual(pair.primary.process.wait(30), 0)
            self.assertEqual(DiskImage(disk_of(pair.primary)).bad, {})

    def test_backup_is_silent(self):
        """A backup that hangs holds nobody up."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            pair.primary.qmp.command('migrate-set-parameters',
                                     **{'max-bandwidth': 1 << 20})
            backup = protect_by_copy(pair)
            backup.process.signal(signal.SIGSTOP)
            self.addCleanup(backup.process.signal, signal.SIGCONT)
            rom.writes_on(pair.primary)
            self.assertTrue(wait_given_up(pair.primary))
            rom.writes_on(pair.primary)

    def test_nobody_there(self):
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            pair.primary.qmp.command(
                'ft-protect', peer='127.0.0.1:1', state='unix:nowhere',
                mirror=f'127.0.0.1:{paths.free_port()}')
            why = wait_given_up(pair.primary)
            self.assertIn('Connection refused', why)
            self.assertIn('127.0.0.1:', why)
            rom.writes_on(pair.primary)

    def test_disk_of_another_size(self):
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            protect_by_copy(pair, size=1 << 20)
            self.assertIn('make that one of the same size',
                          wait_given_up(pair.primary))
            rom.writes_on(pair.primary)

    def test_copied_to_another_machine(self):
        """The log's backup is not the one whose disk was written."""
        with RomPair('disk', disk=True) as pair:
            begin_alone(pair)
            rom.writes_on(pair.primary)
            os.makedirs(os.path.join(pair.directory, 'c'))
            mirror = paths.free_port()
            pair.incoming_port = paths.free_port()
            with open(os.path.join(pair.directory, 'c', 'disk.raw'),
                      'wb') as file:
                file.truncate(os.path.getsize(disk_of(pair.primary)))
            pair.start_incoming('c', f'unix:{pair.directory}/state-c',
                                f',mirror=127.0.0.1:{mirror}')
            os.makedirs(os.path.join(pair.directory, 'b'), exist_ok=True)
            pair.incoming_port = paths.free_port()
            state = os.path.join(pair.directory, 'state-b')
            backup = pair.start_incoming('b', f'unix:{state}')
            wait_for(lambda: os.path.exists(state), 30, state,
                     backup.process)
            wait_for(lambda: os.path.exists(
                f'{pair.directory}/state-c'), 30, 'the other backup')
            pair.primary.qmp.command(
                'ft-protect', peer=f'127.0.0.1:{pair.incoming_port}',
                state=f'unix:{state}', mirror=f'127.0.0.1:{mirror}')
            status = wait_for(
                lambda: next((status for status in [pair.primary.query()]
                              if status['reason'] == 'peer-differs'), None),
                SYNC_S, 'a refusal', pair.primary.process)
            self.assertIn('contents', status['text'])
            rom.writes_on(pair.primary)


if __name__ == '__main__':
    unittest.main()
