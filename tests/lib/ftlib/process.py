"""A child process: started, watched, and ended by its own pid.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import ctypes
import os
import signal
import subprocess
import threading
import time

from . import FtError, FtTimeout

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def process_cpu_s(pid):
    """CPU seconds of a living process, of all its threads."""
    with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
        words = file.read().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def take_precedence():
    """The calling thread is not late on a busy host, if that is permitted.

    Not inherited by its children.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK,
                              os.sched_param(1))
    except PermissionError:
        pass


class Meanwhile:
    """A thread that is not late runs _run() until self._end is set."""

    def __init__(self):
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run_in_time)

    def _run_in_time(self):
        take_precedence()
        self._run()

    def _run(self):
        raise NotImplementedError

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def wait_for(condition, timeout, what, process=None, interval=0.02):
    """Waits until condition() is true; returns its value.

    process: one that has to stay alive meanwhile.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if process and process.poll() is not None:
            raise FtError(f'{process.name} ended ({process.exit_text()}) '
                          f'while waiting for {what}\n{process.errors()}')
        if time.monotonic() > end:
            raise FtTimeout(f'{timeout:g} s passed without {what}')
        time.sleep(interval)


class Process:
    """Its output goes to NAME.out and NAME.err in a directory.

    It dies with the thread that made it: make it in the main thread.
    """

    def __init__(self, name, argv, directory, cwd=None):
        self.name = name
        self.argv = argv
        self._out = os.path.join(directory, f'{name}.out')
        self._err = os.path.join(directory, f'{name}.err')
        with open(self._out, 'wb') as out, open(self._err, 'wb') as err:
            self._popen = subprocess.Popen(
                argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, preexec_fn=_die_with_parent)
        self.pid = self._popen.pid

    def poll(self):
        """The exit status, or None while it runs."""
        return self._popen.poll()

    def exit_text(self):
        status = self.poll()
        if status is None:
            return 'still running'
        if status < 0:
            return f'by {signal.Signals(-status).name}'
        return f'exit status {status}'

    def output(self):
        with open(self._out, encoding='utf-8', errors='replace') as file:
            return file.read()

    def errors(self):
        with open(self._err, encoding='utf-8', errors='replace') as file:
            return file.read().strip()

    def signal(self, number):
        """SIGSTOP: returns when it stands.

        Which takes as long as the thread that the kernel chose waits for a
        core; the others go on meanwhile.
        """
        self._popen.send_signal(number)
        if number == signal.SIGSTOP:
            wait_for(lambda: self.poll() is not None or self._stands(), 20,
                     f'{self.name} standing', interval=0.001)

    def _stands(self):
        tasks = f'/proc/{self.pid}/task'
        try:
            for task in os.listdir(tasks):
                with open(f'{tasks}/{task}/stat', encoding='utf-8') as file:
                    if file.read().rpartition(')')[2].split()[0] != 'T':
                        return False
        except FileNotFoundError:
            return False            # a thread ended meanwhile
        return True

    def kill(self):
        """SIGKILL; returns CLOCK_MONOTONIC of the moment before it."""
        moment = time.monotonic()
        self._popen.kill()
        return moment

    def wait(self, timeout):
        """Its exit status, within timeout seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise FtTimeout(f'{self.name} (pid {self.pid}) did not end within '
                            f'{timeout:g} s') from None

    def end(self, timeout=5):
        """SIGTERM and, if that does not do, SIGKILL.  Safe to repeat."""
        if self.poll() is None:
            self._popen.terminate()
            self._popen.send_signal(signal.SIGCONT)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        return self.poll()
