"""The program that is measured.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess

from ftlib import FtError, paths


class Build:
    """Copies, so that a build meanwhile changes nothing."""

    def __init__(self, directory, against=None):
        """against: another one, for comparison."""
        self.commit = self._commit()
        self.qemu = self._copy(paths.qemu(), directory, 'qemu-measured')
        self.against = None
        if against:
            if not os.access(against, os.X_OK):
                raise FtError(f'--against: {against} is no program')
            self.against = self._copy(against, directory, 'qemu-against')
        os.environ['FT_QEMU'] = self.qemu
        done = subprocess.run([self.qemu, '--version'], text=True,
                              capture_output=True)
        if done.returncode:
            raise FtError(f'{self.qemu}: {done.stderr.strip()}')
        self.version = done.stdout.splitlines()[0]

    @staticmethod
    def _copy(program, directory, name):
        # Its firmware is found beside the build's own program.
        copy = os.path.join(directory, f'{name}-{os.getpid()}')
        shutil.copy2(program, copy)
        return copy

    def remove(self):
        for copy in (self.qemu, self.against):
            if copy:
                os.unlink(copy)

    @staticmethod
    def _commit():
        """Of the work tree; what FT_QEMU names may be of any."""
        if os.environ.get('FT_QEMU'):
            return f'unknown (FT_QEMU={os.environ["FT_QEMU"]})'
        done = subprocess.run(
            ['git', '-C', paths.ROOT, 'describe', '--always', '--dirty'],
            text=True, capture_output=True)
        return done.stdout.strip() or 'unknown'
