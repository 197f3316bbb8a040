"""Disks that are slow or broken on purpose, under any program's files.

    faults, environment = faulty_disks(directory)
    ...                             # a program with that environment starts
    faults.write_errno = errno.EIO

SPDX-License-Identifier: GPL-2.0-or-later
"""

import ctypes
import mmap
import os
import shutil

from . import paths


class Faults(ctypes.Structure):
    """As in tests/faulty/faulty.c, which says what they mean."""

    _fields_ = [(name, ctypes.c_int32) for name in (
        'write_ms', 'write_percent', 'write_errno', 'read_errno', 'held',
        'until_cleared', 'sync_ms')]

    def hold_writes(self, limit_s):
        """None is done till release_writes(); held: how many wait now."""
        self.until_cleared = 1
        self.write_percent = 100
        self.write_ms = limit_s * 1000

    def delay_writes(self, percent, longest_ms):
        self.until_cleared = 0
        self.write_percent = percent
        self.write_ms = longest_ms

    def release_writes(self):
        self.write_ms = 0


def faulty_disks(directory):
    """What changes them, and the environment that puts them in."""
    path = os.path.join(directory, 'faults')
    with open(path, 'w+b') as file:
        file.truncate(ctypes.sizeof(Faults))
        shared = mmap.mmap(file.fileno(), ctypes.sizeof(Faults))
    return Faults.from_buffer(shared), {
        'LD_PRELOAD': shutil.copy(paths.ft_faulty(), directory),
        'FT_FAULTY': path}
