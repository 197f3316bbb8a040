"""A protected pair with its network, its disks and its lease.

    with Pair(append='ft.job=tick') as pair:
        pair.start()
        pair.primary.wait_state('protected')

Directory of a pair:
    lease/          the lease (dir:)
    switch, switch.log, ft-switch.err
    a/, b/          one a side: disk.raw, serial.log, qmp, qemu.err, ft.log
Both QEMUs run in their own directory, with the very same options but -ft.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile

from . import FtError, guest, paths
from .process import Process, wait_for
from .qmp import Qmp, QmpClosed

ENDED = ('ended', 'halted')
LAST_ENTRIES = 15                # of a log, shown when a test fails


class Machine:
    """One QEMU of a pair, or (ft=None) one without protection."""

    def __init__(self, pair, node, ft, prefix=(), extra=()):
        self.node = node
        self.directory = os.path.join(pair.directory, node)
        self.serial_path = os.path.join(self.directory, 'serial.log')
        argv = [*prefix, paths.qemu(), *pair.options,
                '-qmp', 'unix:qmp,server=on,wait=off']
        if ft:
            if 'evidence=' not in ft and ft.partition(',')[2]:
                ft += ',evidence=evidence'
            argv += ['-ft', ft]
        argv += extra
        argv += shlex.split(os.environ.get('FT_QEMU_ARGS', ''))
        self.process = Process('qemu', argv, self.directory,
                               cwd=self.directory)
        self.process.name = f'qemu {node}'
        self._qmp = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def qmp(self):
        """Connected when first used."""
        if not self._qmp:
            path = os.path.join(self.directory, 'qmp')
            wait_for(lambda: os.path.exists(path), 30, f'{path}',
                     self.process)
            self._qmp = Qmp(path)
        return self._qmp

    def query(self, timeout=30):
        try:
            return self.qmp.command('query-ft', timeout)
        except QmpClosed:
            self.process.wait(10)
            raise FtError(f'{self.process.name} ended '
                          f'({self.process.exit_text()})\n'
                          f'{self.process.errors()}') from None

    def wait_state(self, *states, timeout=30):
        """Waits until query-ft says one of the states; returns its answer."""
        def look():
            status = self.query()
            if status['state'] in states:
                return status
            if status['state'] in ENDED:
                raise FtError(
                    f'{self.process.name} is {status["state"]} '
                    f'({status["reason"]}: {status.get("text", "")}) instead '
                    f'of {" or ".join(states)}\n{self.process.errors()}')
            return None
        return wait_for(look, timeout,
                        f'state {" or ".join(states)} of {self.process.name}',
                        self.process, interval=0.05)

    def serial(self):
        try:
            with open(self.serial_path, encoding='utf-8',
                      errors='replace') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def wait_serial(self, text, timeout=120):
        wait_for(lambda: text in self.serial(), timeout,
                 f'"{text}" on the serial line of {self.process.name}',
                 self.process, interval=0.05)

    def end(self):
        if self._qmp:
            self._qmp.close()
        return self.process.end()


class Switch:
    """ft-switch with a forward to the guest's redis."""

    def __init__(self, directory, forwards):
        self.socket = os.path.join(directory, 'switch')
        self.log_path = os.path.join(directory, 'switch.log')
        argv = [paths.ft_switch(), '--socket', self.socket,
                '--log', self.log_path]
        for rule in forwards:
            argv += ['--hostfwd', rule]
        self.process = Process('ft-switch', argv, directory)
        wait_for(lambda: 'ready' in self.process.output(), 10,
                 'ft-switch to be ready', self.process)

    def log(self):
        """Its journal, as a list of objects."""
        with open(self.log_path, encoding='utf-8') as file:
            return [json.loads(line) for line in file
                    if line.endswith('\n')]


def assert_equal_digest(primary, backup, timeout=30):
    """Both are the same machine at the primary's next instruction."""
    primary.qmp.command('x-ft-digest', timeout)
    event = backup.qmp.wait_event('FT_DIGEST', timeout=timeout)
    assert event['data']['equal'], 'the two machines differ'


class Pair:
    """Everything of one pair.  Leaving the with block ends it all.

    append: for the guest's kernel.  options: instead of the Linux guest's.
    disk: True: each has its own; else the file or URI that both have, or None.
    peer_port: where the primary connects, if not directly (a relay).
    """

    def __init__(self, append='', options=None, directory=None, disk=True,
                 peer_port=None, template=None):
        self._own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(
            prefix='ft-pair-', dir=paths.scratch_dir())
        self.keep = False           # the directory, also when all went well
        self.log = 'ft.log'         # each side's file of the log; None: none
        self.redis_port = paths.free_port()
        self.listen_port = paths.free_port()
        self.peer_port = peer_port or self.listen_port
        # In namespaces (ftlib.netns) these are the backup host's address.
        self.listen_host = self.peer_host = '127.0.0.1'
        self.incoming_port = None   # where the last such backup listens
        self.lease = os.path.join(self.directory, 'lease')
        # What both are told; a test with a lease elsewhere sets its own.
        self.lease_uri = f'dir:{self.lease}'
        self.switch = self.primary = self.backup = None
        self.machines = []
        self._append = append
        self._options = options
        self.disk = disk
        self._template = template
        for name in ('lease', 'a', 'b'):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)

    @property
    def options(self):
        if self._options is None:
            self._options = guest.options(
                netdev=guest.network_switch('../switch'), append=self._append,
                disk='disk.raw' if self.disk is True else self.disk)
        return self._options

    def prepare_disks(self):
        """Two identical ones, from the template if there is one."""
        first = os.path.join(self.directory, 'a', 'disk.raw')
        if self._template:
            guest.copy_disk(self._template, first)
        else:
            guest.make_disk(first)
        guest.copy_disk(first, os.path.join(self.directory, 'b', 'disk.raw'))

    def start_switch(self):
        rule = (f'tcp:127.0.0.1:{self.redis_port}-'
                f'{guest.ADDRESS}:{guest.REDIS_PORT}')
        self.switch = Switch(self.directory, [rule])

    def _start(self, node, ft, prefix=(), extra=()):
        machine = Machine(self, node, ft, prefix, extra)
        self.machines.append(machine)
        return machine

    def start_plain(self, prefix=()):
        """One machine without protection, as the primary."""
        self.primary = self._start('a', None, prefix)
        return self.primary

    def _log_option(self, extra):
        return f',log={self.log}' if self.log and ',log=' not in extra else ''

    def start_backup(self, extra='', prefix=()):
        self.backup = self._start(
            'b', f'backup,listen={self.listen_host}:{self.listen_port},'
            f'lease={self.lease_uri},node=b{extra}{self._log_option(extra)}',
            prefix)
        return self.backup

    def start_primary(self, extra=',new=on', prefix=()):
        self.primary = self._start(
            'a', f'primary,peer={self.peer_host}:{self.peer_port},'
            f'lease={self.lease_uri},node=a{extra}{self._log_option(extra)}',
            prefix)
        return self.primary

    def start_incoming(self, node, uri, ft=''):
        """A backup for a machine that runs; listens at incoming_port.

        ft: more of -ft.
        """
        os.makedirs(os.path.join(self.directory, node), exist_ok=True)
        return self._start(
            node, f'backup,listen=127.0.0.1:{self.incoming_port},'
            f'lease={self.lease_uri},node={node}{self._log_option("")}{ft}',
            extra=('-incoming', uri))

    def start_replay_apart(self, log, disk, extra='', name='replay',
                           state=None):
        """Executes a log of this pair again, in a directory of its own.

        disk: as it was when the session began; it stays so.  The network
        leads nowhere.  state: the file in which ft-protect left the machine,
        if the session began with a running one.
        """
        os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        usual = self.options
        words = [word.replace('file=disk.raw', f'file={disk}')
                 for word in usual]
        for index, word in enumerate(words):
            if word == '-netdev':
                ident = re.search(r'\bid=(\w+)', words[index + 1])[1]
                words[index + 1] = f'user,id={ident},restrict=on'
        self._options = words
        try:
            return self._start(
                name, f'replay,log={log}{extra}',
                extra=('-incoming', f'file:{state}') if state else ())
        finally:
            self._options = usual

    def start(self):
        """Switch, disks, backup, primary; returns when they are protected."""
        if self.disk:
            self.prepare_disks()
        self.start_switch()
        self.start_backup()
        self.start_primary()
        self.primary.wait_state('protected')
        self.backup.wait_state('protected')

    def close(self):
        for machine in self.machines:
            machine.end()
        if self.switch:
            self.switch.process.end()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
        if not self._own_directory:
            return
        if kind:
            self._show_logs()
        if kind or self.keep:
            print(f'files of this pair are kept in {self._keep()}',
                  file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _show_logs(self):
        """The last entries of each side's log: what a failure began with."""
        try:
            ft_log = paths.ft_log()
        except FtError:
            return                  # the failure itself is what matters
        for machine in self.machines:
            path = os.path.join(machine.directory, self.log or '')
            if os.path.isfile(path):
                done = subprocess.run(
                    [ft_log, 'print', '--last', str(LAST_ENTRIES),
                     path], text=True, capture_output=True, check=False)
                print(done.stdout + done.stderr, file=sys.stderr)

    def _keep(self):
        """Where a person finds them: not in memory, and without disks."""
        for where, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(where, name)
                is_disk = name == 'disk.raw' and not self.keep
                if is_disk or stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)
        target = os.path.join(paths.build_dir(), 'failed')
        os.makedirs(target, exist_ok=True)
        return shutil.move(self.directory, target)
