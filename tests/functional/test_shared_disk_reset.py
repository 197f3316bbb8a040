#!/usr/bin/python3
"""The machine is reset with requests to shared disks in flight (M16).

As test_disk_reset.py, which has the guests and their slow disks: those of
IDE, SCSI and virtio end or drop their requests each in its own way.  The CD
is each side's own, since nobody writes it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

import test_disk_reset as own  # noqa: E402

WRITABLE = ('disk.raw', 'second.raw')


class SharedResetWithRequests(own.ResetWithRequests):
    test_scsi = None            # as IDE's, for what is new here
    test_flushes = None         # as on disks of their own

    def protect(self, pair):
        """Both sides get the primary's disks."""
        pair.prepare_disks()
        for index, word in enumerate(pair.options):
            for name in WRITABLE:
                path = os.path.join(pair.directory, 'a', name)
                word = word.replace(f'filename={name}', f'filename={path}')
            pair.options[index] = word
        pair.start_backup(',disks=shared')
        pair.start_primary(',new=on,disks=shared')
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
            self.assertTrue(machine.query()['disks']['shared'])


def load_tests(loader, _tests, _pattern):
    return loader.loadTestsFromTestCase(SharedResetWithRequests)


if __name__ == '__main__':
    unittest.main()
