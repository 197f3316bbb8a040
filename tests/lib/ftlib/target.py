"""iSCSI targets for tests: tgt and istgt, Debian's packages, unprivileged.

    with Tgt({'lease': MIB, 'disk': 64 * MIB}) as target:
        target.uri('lease')         # iscsi://127.0.0.1:PORT/IQN/1
        target.kill()               # SIGKILL; start() brings it back
        target.pause()              # SIGSTOP; resume()
        target.path('disk')         # the file behind it

What differs between the two, and matters to a test:

              COMPARE AND WRITE       persistent reservations
    Tgt       advertised, rejected    work; gone when it restarts
    Istgt     works, atomic           broken (PREEMPT drops the preemptor)

A target has a directory of its own, on memory if there is enough, a free
port of 127.0.0.1, and runs as an ordinary user also when the tests run as
root: as NOBODY then.  Files of its LUNs outlive kill() and restart(), not
the with block.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from . import FtError, paths
from .faulty import faulty_disks
from .process import Process, wait_for

MIB = 1 << 20
IQN = 'iqn.2026-01.org.example'
NOBODY = 'nobody'
READY_S = 30
COMMAND_S = 60
CONTROL_PORT = 1                    # of tgtd: part of its socket's name


def _program(name):
    path = shutil.which(name, path=os.environ.get('PATH', '') +
                        ':/usr/sbin:/sbin')
    if not path:
        raise FtError(f'there is no {name}: hooks/deps.sh installs what the '
                      'tests need')
    return path


class Chap:
    """A user and a password (12 to 16 bytes) for one direction."""

    def __init__(self, user, password):
        self.user = user
        self.password = password


class Target:
    """What both have in common.

    luns: name -> bytes; the order gives the numbers.  chap: what an
    initiator has to show; mutual: what the target shows in turn.
    environment: more of it, for the target only.
    """

    FIRST_LUN = 0
    name = None

    def __init__(self, luns, chap=None, mutual=None, directory=None,
                 environment=None):
        self.luns = list(luns)
        self.chap = chap
        self.mutual = mutual
        self.port = paths.free_port()
        self.iqn = f'{IQN}:{self.name}'
        self.process = None
        self._environment = dict(environment or {})
        self._directory = directory or tempfile.mkdtemp(
            prefix=f'ft-{self.name}-', dir=paths.scratch_dir())
        self._starts = 0
        for name, size in luns.items():
            with open(self.path(name), 'ab') as file:
                file.truncate(size)
            self._give(self.path(name))
        self._give(self._directory)

    @property
    def directory(self):
        return self._directory

    @property
    def portal(self):
        return f'127.0.0.1:{self.port}'

    @property
    def pid(self):
        return self.process.pid

    def path(self, lun):
        """The file behind a LUN."""
        return os.path.join(self._directory, f'{lun}.lun')

    def number(self, lun):
        return self.FIRST_LUN + self.luns.index(lun)

    def uri(self, lun, login=''):
        """login: "USER%PASSWORD@", if the URI is to hold it."""
        return f'iscsi://{login}{self.portal}/{self.iqn}/{self.number(lun)}'

    # Its life.

    def start(self):
        """Returns when it serves every LUN."""
        self._starts += 1
        self.process = Process(
            f'{self.name}-{self._starts}', [*self._prefix(), *self._argv()],
            self._directory, cwd=self._directory)
        try:
            self._wait_ready()
        except FtError as error:
            raise FtError(f'{error}\n{self.process.errors()}') from None
        return self

    def kill(self):
        """SIGKILL: what it did not write yet is lost, sessions end."""
        self.process.kill()
        self.process.wait(10)

    def restart(self):
        self.kill()
        self.start()

    def pause(self):
        """SIGSTOP: connections stay open and nothing answers."""
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)

    def close(self):
        if self.process:
            self.resume()
            self.kill()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, value, trace):
        self.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # For the subclasses.

    def _argv(self):
        raise NotImplementedError

    def _wait_ready(self):
        raise NotImplementedError

    def _prefix(self):
        """Becomes an ordinary user; dies with us, as any Process."""
        words = ['env', *(f'{key}={value}' for key, value
                          in self._environment.items())]
        if os.geteuid() == 0:
            words = ['setpriv', f'--reuid={NOBODY}', '--regid=nogroup',
                     '--clear-groups', '--no-new-privs',
                     '--pdeathsig=KILL', *words]
        return words

    def _run(self, *argv):
        done = subprocess.run([*self._prefix(), *argv], text=True,
                              capture_output=True, check=False,
                              timeout=COMMAND_S)
        if done.returncode:
            raise FtError(f'{" ".join(argv[:6])} ...: '
                          f'{(done.stdout + done.stderr).strip()}')

    def _give(self, path):
        if os.geteuid() == 0:
            user = pwd.getpwnam(NOBODY)
            os.chown(path, user.pw_uid, user.pw_gid)

    def _is_listening(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 1).close()
        except OSError:
            return False
        return True


class Tgt(Target):
    """tgtd.  io_threads: per LUN; with 1 writes land in their order.

    faulty: .faults changes what its disks do.
    """

    FIRST_LUN = 1                   # 0 is a controller
    name = 'tgt'

    def __init__(self, luns, io_threads=1, faulty=False, **rest):
        super().__init__(luns, **rest)
        self._io_threads = io_threads
        self.faults = None
        if faulty:
            self.faults, more = faulty_disks(self._directory)
            self._environment.update(more)
            for path in more.values():
                self._give(path)
        self._control = os.path.join(self._directory, 'control')
        self._environment['TGT_IPC_SOCKET'] = self._control

    def _argv(self):
        for name in os.listdir(self._directory):
            if name.startswith('control'):  # one before it that was killed
                os.unlink(os.path.join(self._directory, name))
        return [_program('tgtd'), '-f', '-C', str(CONTROL_PORT),
                '--iscsi', f'portal={self.portal}',
                '--nr_iothreads', str(self._io_threads)]

    def admin(self, mode, op, *words):
        """tgtadm; for what a test changes under a running target."""
        self._run('env', '-u', 'LD_PRELOAD', _program('tgtadm'), '-C', str(CONTROL_PORT), '--lld',
                  'iscsi', '--mode', mode, '--op', op, *words)

    def _wait_ready(self):
        # The target is bound last: till then nobody can log in.
        wait_for(lambda: os.path.exists(f'{self._control}.{CONTROL_PORT}')
                 and self._is_listening(), READY_S, 'tgtd to listen',
                 self.process)
        self.admin('target', 'new', '--tid', '1', '-T', self.iqn)
        for lun in self.luns:
            self.admin('logicalunit', 'new', '--tid', '1', '--lun',
                       str(self.number(lun)), '--bstype', 'rdwr',
                       '-b', self.path(lun))
        for login, *more in ((self.chap,), (self.mutual, '--outgoing')):
            if login:
                self.admin('account', 'new', '--user', login.user,
                           '--password', login.password)
                self.admin('account', 'bind', '--tid', '1', '--user',
                           login.user, *more)
        self.admin('target', 'bind', '--tid', '1', '-I', 'ALL')


class Istgt(Target):
    """istgt, of which the lease's COMPARE AND WRITE is atomic."""

    name = 'istgt'

    def _argv(self):
        config = self._write('istgt.conf', self._config())
        return [_program('istgt'), '-D', '-q', '-c', config]

    def _wait_ready(self):
        wait_for(self._is_listening, READY_S, 'istgt to listen',
                 self.process)

    def _write(self, name, text):
        path = os.path.join(self._directory, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        os.chmod(path, 0o600)
        self._give(path)
        return path

    def _auth(self):
        if not self.chap:
            return 'None', ''
        words = [self.chap.user, self.chap.password]
        if self.mutual:
            words += [self.mutual.user, self.mutual.password]
        line = ' '.join(f'"{word}"' for word in words)
        self._write('auth.conf', f'[AuthGroup1]\n  Auth {line}\n')
        return 'CHAP Mutual' if self.mutual else 'CHAP', \
            '  AuthGroup AuthGroup1\n'

    def _config(self):
        method, group = self._auth()
        units = ''.join(
            f'  LUN{self.number(lun)} Storage {self.path(lun)} '
            f'{os.path.getsize(self.path(lun)) // MIB}MB\n'
            for lun in self.luns)
        return f'''[Global]
  NodeBase "{IQN}"
  PidFile {self._directory}/istgt.pid
  AuthFile {self._directory}/auth.conf
  MediaDirectory {self._directory}
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 64
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
[PortalGroup1]
  Portal DA1 {self.portal}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.1
[LogicalUnit1]
  TargetName {self.iqn}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod {method}
{group}  UseDigest Auto
  UnitType Disk
  QueueDepth 32
{units}'''
