"""Pairs whose Linux guest works its devices (tests/guest/work).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import re

from . import guest
from .pair import Pair

BOOT_S = 180
DISK_MB = 16
CD_MB = 1


class WorkPair(Pair):
    """A Linux guest that works devices: load: modules, work: names."""

    def __init__(self, load, work, extra):
        append = (f'{guest.KERNEL} ft.load={",".join(load)} ft.job=work '
                  f'ft.work={",".join(work)}')
        super().__init__(options=[
            '-display', 'none', '-machine', 'pc', '-m', '128',
            '-kernel', os.path.join(guest.image(), 'vmlinuz'),
            '-initrd', os.path.join(guest.image(), 'initramfs.cpio'),
            '-append', append, '-chardev', 'file,id=s0,path=serial.log',
            '-serial', 'chardev:s0', '-monitor', 'none', *extra])
        self.work = work

    def prepare_disks(self):
        for name, megabytes in (('disk.raw', DISK_MB),
                                ('second.raw', DISK_MB), ('cd.iso', CD_MB)):
            data = random.Random(name).randbytes(megabytes << 20)
            for node in ('a', 'b'):
                with open(os.path.join(self.directory, node, name),
                          'wb') as file:
                    file.write(data)

    def protect(self):
        self.prepare_disks()
        self.start_backup()
        self.start_primary()
        for machine in (self.primary, self.backup):
            machine.wait_state('protected')
        self.primary.wait_serial(guest.READY, BOOT_S)


def turns(machine, name):
    return len(re.findall(rf'^FT-GUEST WORK {name} \d+', machine.serial(),
                          re.M))
