"""Where the demo's machines have their disk and the lease.

local: each its own copy of the disk, and the lease in a directory.
iscsi, istgt: one disk for both and the lease, each a LUN of a target that
runs as an ordinary user: tgtd, which can fence, or istgt.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess

from ftlib import FtError, guest
from ftlib.target import MIB, Istgt, Tgt

KINDS = ('local', 'iscsi', 'istgt')


class Local:
    """pair.prepare_disks() makes the copies."""

    owner = 'its own copy of the disk'

    def __init__(self, pair):
        self._pair = pair

    def start(self, screen):
        self._pair.prepare_disks()

    def check(self, screen):
        return {}

    def close(self):
        pass


class Shared:
    """A target with two LUNs."""

    owner = 'the same disk, a LUN'

    def __init__(self, pair, kind, template):
        self._pair = pair
        self._template = template
        make = Tgt if kind == 'iscsi' else Istgt
        self._target = make({'lease': MIB, 'disk': guest.DISK_MB * MIB})

    def start(self, screen):
        target = self._target
        with open(self._template, 'rb') as source, \
                open(target.path('disk'), 'r+b') as lun:
            shutil.copyfileobj(source, lun)
        target.start()
        self._pair.lease_uri = target.uri('lease')
        self._pair.disk = target.uri('disk')
        screen.step('storage', f'{target.name}, pid {target.pid}, an ordinary '
                    f'user\'s: disk {target.uri("disk")}')
        screen.step('', f'lease {target.uri("lease")}')

    def check(self, screen):
        """Both machines are gone: is what they left a whole file system?"""
        self._target.close()
        path = self._target.path('disk')
        # The first replays the journal, as the next mount would.
        subprocess.run(['/sbin/e2fsck', '-p', path], capture_output=True,
                       check=False)
        done = subprocess.run(['/sbin/e2fsck', '-fn', path], text=True,
                              capture_output=True, check=False)
        if done.returncode:
            raise FtError('e2fsck of the shared disk after the takeover: '
                          f'{done.stdout.strip()}\n(the disk: {path})')
        screen.step('e2fsck', 'the file system on the shared disk is clean')
        return {'fsck': 'clean'}

    def close(self):
        self._target.close()
        shutil.rmtree(self._target.directory, ignore_errors=True)


def make(kind, pair, template):
    if kind == 'local':
        return Local(pair)
    return Shared(pair, kind, template)
