# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU with one of our ROMs in it, its serial port on pipes."""

import glob
import json
import os
import select
import shlex
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
WAIT_S = 60


def _find(variable, pattern, what):
    """The file that variable names, or the newest one in build/."""
    if os.environ.get(variable):
        return os.environ[variable]
    found = [path for path in
             glob.glob(os.path.join(ROOT, 'build', '**', pattern),
                       recursive=True) if os.path.isfile(path)]
    if not found:
        raise FileNotFoundError(
            f'no {what}: {pattern} is not under {ROOT}/build; build it, or '
            f'set {variable}')
    return max(found, key=os.path.getmtime)


def qemu_command():
    """FT_QEMU may hold options too: "/path/qemu-system-x86_64 -L DIR"."""
    return shlex.split(_find('FT_QEMU', 'qemu-system-x86_64', 'QEMU'))


def rom_path(name):
    """FT_ROMS is the directory with the images."""
    if os.environ.get('FT_ROMS'):
        return os.path.join(os.environ['FT_ROMS'], name + '.rom')
    return _find('FT_ROMS', name + '.rom', 'ROM image')


class GuestError(AssertionError):
    pass


class Guest:
    """Use as a context manager: the process is gone afterwards.

    options: of QEMU.  lines: what the guest printed, whole lines, so far.
    """

    def __init__(self, rom, options=(), defaults=False):
        self.lines = []
        self._rest = b''
        command = qemu_command() + [
            '-M', 'pc', '-m', '16', '-bios', rom_path(rom), '-display',
            'none', '-monitor', 'none', '-serial', 'stdio']
        if not defaults:
            command += ['-nodefaults']
        self.command = shlex.join(command + list(options))
        self.process = subprocess.Popen(
            command + list(options), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            pipe.close()

    def _fail(self, why):
        stderr = ''
        if self.process.poll() is not None:
            stderr = self.process.stderr.read().decode(errors='replace')
        raise GuestError(f'{why}\nlast lines: {self.lines[-5:]}\n'
                         f'stderr: {stderr}\ncommand: {self.command}')

    def _read(self, deadline):
        """Some more output into lines; False at its end."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.process.stdout], [], [],
                                          left)[0]:
            self._fail(f'nothing more within {WAIT_S} s')
        data = os.read(self.process.stdout.fileno(), 65536)
        *whole, self._rest = (self._rest + data).split(b'\r\n')
        self.lines += [line.decode('ascii') for line in whole]
        return bool(data)

    def wait_line(self, wanted, start=0):
        """The number of the first line from start on that wanted(line) likes.
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            for number in range(start, len(self.lines)):
                if wanted(self.lines[number]):
                    return number
            start = len(self.lines)
            if not self._read(deadline):
                self.process.wait(WAIT_S)
                self._fail('QEMU ended before the line that was waited for')

    def wait_prefix(self, prefix, start=0):
        return self.wait_line(lambda line: line.startswith(prefix), start)

    def wait_exit(self):
        """The exit status, after all output was read."""
        deadline = time.monotonic() + WAIT_S
        while self._read(deadline):
            pass
        return self.process.wait(WAIT_S)

    def stop(self):
        """Ends QEMU in order, so that a recording gets its end."""
        self.process.terminate()
        return self.wait_exit()

    def type(self, text):
        self.process.stdin.write(text.encode('ascii'))
        self.process.stdin.flush()


class Qmp:
    """A QMP connection to `-qmp unix:PATH,server=on,wait=off`."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WAIT_S)
        self._socket.connect(path)
        self._file = self._socket.makefile('rw')
        self._file.readline()
        self.execute('qmp_capabilities')

    def close(self):
        self._file.close()
        self._socket.close()

    def execute(self, command, **arguments):
        self._file.write(json.dumps({'execute': command,
                                     'arguments': arguments}) + '\n')
        self._file.flush()
        while True:
            reply = json.loads(self._file.readline())
            if 'error' in reply:
                raise GuestError(f'{command}: {reply["error"]["desc"]}')
            if 'return' in reply:
                return reply['return']

    def write_port(self, port, byte):
        self.execute('human-monitor-command', **{
            'command-line': f'o /b {port:#x} {byte:#x}'})
