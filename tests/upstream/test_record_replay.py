"""Upstream's own record/replay on a file still works on the fork.

Upstream's functional test of it downloads its guest; this one boots the
project's Linux guest instead, and compares whole consoles.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'lib'))

from ftlib import guest, paths      # noqa: E402

RUN_LIMIT_S = 180
JOB = 'ft.job=write ft.size=200 ft.end=poweroff'
LAST_WORDS = 'FT-GUEST JOB write end'


class RecordReplay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.top = Path(directory.name)
        guest.make_disk(str(cls.top / 'disk'))

    def run_machine(self, mode, shift):
        """The console's text of one run to its power-off."""
        image = guest.image()
        console = self.top / f'{mode}-{shift}.console'
        done = subprocess.run([
            paths.qemu(), '-nodefaults', '-display', 'none', '-no-reboot',
            '-machine', 'pc', '-m', '192',
            '-kernel', f'{image}/vmlinuz',
            '-initrd', f'{image}/initramfs.cpio',
            '-append', f'{guest.KERNEL} {JOB}',
            '-icount', f'shift={shift},rr={mode},'
            f'rrfile={self.top}/log-{shift}',
            '-drive', f'file={self.top}/disk,format=raw,if=none,snapshot=on,'
            'id=disk',
            '-drive', 'driver=blkreplay,if=none,image=disk,id=replayed',
            '-device', 'virtio-blk-pci,drive=replayed',
            '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net',
            '-object', 'filter-replay,id=filter,netdev=net',
            '-serial', f'file:{console}'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=RUN_LIMIT_S)
        text = console.read_text(errors='replace')
        self.assertEqual(done.returncode, 0, f'{mode}: {done.stdout}\n{text}')
        self.assertIn(LAST_WORDS, text, mode)
        return text

    def test_replay_prints_what_was_recorded(self):
        recorded = self.run_machine('record', 3)
        self.assertEqual(self.run_machine('replay', 3), recorded)

    def test_upstreams_tool_reads_the_log(self):
        self.run_machine('record', 4)
        tool = Path(paths.build_dir()) / 'src' / 'scripts' / 'replay-dump.py'
        done = subprocess.run(
            [sys.executable, '-B', tool, '-f', self.top / 'log-4'],
            env=dict(os.environ, PYTHONPATH=str(tool.parent.parent /
                                                'python')),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=RUN_LIMIT_S)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])
        self.assertGreater(done.stdout.count('\n'), 1000)


if __name__ == '__main__':
    unittest.main()
