"""A pair whose machines share one disk: a file, or a LUN of a target.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import hashlib
import os
import re
import signal
import subprocess
import sys

from . import guest, paths, rom
from .pair import Pair
from .process import wait_for

sys.path.insert(0, os.path.join(paths.ROOT, 'tests', 'roms'))
from disk_image import DiskImage  # noqa: E402

OVER_ALL = 2000                 # requests after which few sectors are as before
REPORT = re.compile(r'disk wrote=(\d+) verified=(\d+) errors=(\d+)')


def reports(machine):
    """(wrote, verified, errors) of each whole report on the serial line."""
    return [tuple(int(n) for n in groups)
            for groups in rom.reports(machine, REPORT)]


def make_image(path, kind='raw', *options):
    """An empty disk for the guests of roms/."""
    subprocess.run([paths.qemu_img(), 'create', '-q', '-f', kind, *options,
                    path, f'{rom.DISK_MB}M'], check=True)


class SharedPair(rom.RomPair):
    """place: the disk, as -drive file=; a file of the pair's if not given.

    image: one of the small guests with a disk.  faults: x-ft-fault works.
    drive: more of the disk's -drive; ft: of -ft; kind: its format.
    """

    def __init__(self, image='disk', place=None, device=None,
                 faults=False, drive='', disks='shared', ft='', kind='raw',
                 **rest):
        super().__init__(image, **rest)
        self.disk_path = os.path.join(self.directory, 'shared.raw')
        self._place = place
        self._faults = faults
        self._disks = disks
        self._ft = ft
        make_image(self.disk_path, kind)
        self._options += rom.disk_options((place or self.disk_path) + drive,
                                          kind)
        if device:
            self._options[-1] = device

    def _start(self, node, ft, prefix=(), extra=()):
        if not self._place and not ft.startswith('replay'):
            ft += f',disks={self._disks}'
        if not ft.startswith('replay'):
            ft += self._ft
        if self._faults:
            ft += ',x-faults=on'
        return super()._start(node, ft, prefix, extra)

    def start_replay_of(self, log, disk, name):
        """Executes a log again; disk: any of the right size."""
        words = [word.replace(self._place or self.disk_path, disk)
                 for word in self.options]
        return self.start_machine(name, f'replay,log={log}', words)

    def wait_reports(self, machine, count, verified=1):
        def look():
            seen = reports(machine)
            return len(seen) >= count and seen[-1][1] >= verified
        wait_for(look, 60, f'{count} reports of the guest in '
                 f'{machine.process.name}', machine.process)

    def assert_no_errors(self):
        for machine in self.machines:
            text = rom.text(machine)
            assert 'ERROR' not in text and 'PANIC' not in text, text[-2000:]
            assert all(not errors for _, _, errors in reports(machine))

    def assert_whole(self, path=None):
        """No sector of the disk is torn; returns what is on it."""
        disk = DiskImage(path or self.disk_path)
        assert disk.bad == {}, disk.bad
        assert disk.written() > 0
        return disk


class SharedLinuxPair(Pair):
    """The same with the Linux guest.  disk_path: the file behind place."""

    def __init__(self, append, place=None, disk_path=None, drive='', ft=''):
        super().__init__(append=append)
        self.disk = None            # no copies
        self.disk_path = disk_path or os.path.join(self.directory,
                                                   'shared.raw')
        self._place = place
        self._ft = ft
        guest.make_disk(self.disk_path)
        self._options = guest.options(
            netdev=guest.network_switch('../switch'), append=append,
            disk=(place or self.disk_path) + drive)

    def _start(self, node, ft, prefix=(), extra=()):
        if not self._place:
            ft += ',disks=shared'
        return super()._start(node, ft + self._ft + ',x-faults=on', prefix,
                              extra)

    def start_cold(self, node):
        """The machine that ran last, alone."""
        machine = self._start(
            node, f'primary,peer=127.0.0.1:{self.peer_port},'
            f'lease={self.lease_uri},node={node}')
        machine.wait_state('connecting')
        machine.qmp.command('ft-stop')
        machine.wait_state('alone')
        return machine


class LunPair(SharedPair):
    """The disk on a LUN of one target, the lease on one of another."""

    def __init__(self, target, lease, fenced=True, **rest):
        super().__init__(place=target.uri('disk'), **rest)
        self.lease_uri = lease.uri('lease')
        if not fenced:
            self.lease_uri += ',x-fence=off'
        self.target = target

    def digest(self):
        """Of the disk, as the target has it."""
        with open(self.target.path('disk'), 'rb') as file:
            return hashlib.sha256(file.read()).hexdigest()

    def overtake(self, timeout):
        """The primary stands still; returns when its backup goes on."""
        self.primary.process.signal(signal.SIGSTOP)
        self.backup.wait_state('alone', timeout=timeout)

    def rest(self):
        """The backup has written over all, and now writes nothing."""
        self.wait_reports(self.backup, 1,
                          reports(self.primary)[-1][1] + OVER_ALL)
        self.backup.qmp.command('stop')
        wait_for(lambda: not self.backup.query()['disks']['unfinished'], 20,
                 'the last of its requests', self.backup.process)

    def go_on(self):
        self.backup.qmp.command('cont')
        self.wait_reports(self.backup, len(reports(self.backup)) + 3)
        self.assert_no_errors()
        self.backup.end()
        self.assert_whole(self.target.path('disk'))
