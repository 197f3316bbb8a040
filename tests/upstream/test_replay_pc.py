#!/usr/bin/python3
"""Upstream's record/replay test of "pc" with virtio-blk, which it skips.

Upstream calls its test flaky, and its guest is a download.  The logic here
is upstream's own, run from its tree; the guest is this project's.

FT_REPLAY_TIMES=N repeats it (for a rate; once is what make check does).

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import sys
import unittest
from pathlib import Path
from subprocess import DEVNULL, check_call

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'lib'))

from ftlib import guest, paths      # noqa: E402

BUILD = Path(paths.build_dir()).resolve()
SOURCE = BUILD / 'src'
os.environ.update(QEMU_BUILD_ROOT=str(BUILD / 'qemu'),
                  QEMU_TEST_QEMU_BINARY=paths.qemu(),
                  PYTHONDONTWRITEBYTECODE='1',
                  PYTHONPATH=str(SOURCE / 'python'))
for folder in ('python', 'tests/functional'):
    sys.path.insert(0, str(SOURCE / folder))

import replay_kernel                # noqa: E402

TIMES = int(os.environ.get('FT_REPLAY_TIMES') or 1)
JOB = 'ft.job=write ft.size=200'
LAST_WORDS = 'FT-GUEST JOB write end'


class Pc(replay_kernel.ReplayKernelBase):
    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(BUILD / 'qemu')    # upstream's logic looks for its tools

    def disk(self):
        raw = self.scratch_file('disk.raw')
        guest.make_disk(raw)
        disk = self.scratch_file('disk.qcow2')
        check_call([paths.qemu_img(), 'create', '-f', 'qcow2', '-F', 'raw',
                    '-b', raw, disk], stdout=DEVNULL)
        return disk

    def run_once(self):
        self.require_netdev('user')
        self.set_machine('pc')
        self.cpu = 'Nehalem'
        image = Path(guest.image())
        self.run_rr(
            str(image / 'vmlinuz'), f'{guest.KERNEL} {JOB}', LAST_WORDS,
            shift=5, args=(
                '-m', str(guest.MEMORY_MB),
                '-initrd', str(image / 'initramfs.cpio'),
                '-drive', f'file={self.disk()},snapshot=on,id=hd0,if=none',
                '-drive', 'driver=blkreplay,id=hd0-rr,if=none,image=hd0',
                '-device', 'virtio-blk,drive=hd0-rr',
                '-netdev', 'user,id=vnet,hostfwd=:127.0.0.1:0-:22',
                '-device', 'virtio-net,netdev=vnet',
                '-object', 'filter-replay,id=replay,netdev=vnet'))


# One test each: a machine is made once in upstream's class.
for number in range(TIMES):
    setattr(Pc, f'test_virtio_blk_{number}', Pc.run_once)

# Upstream's class is a base, no test.
del replay_kernel

if __name__ == '__main__':
    unittest.main()
