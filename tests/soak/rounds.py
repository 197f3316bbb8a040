"""One round: a pair records a guest's whole life; its log is replayed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import filecmp
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time

from ftlib import FtError, FtTimeout, guest, paths
from ftlib.pair import Pair
from ftlib.process import process_cpu_s
from ftlib.qmp import QmpError
from ftlib.relay import Relay

from client import Client
from hostload import HostLoad

# A hang is what takes longer than this on a host that is far too busy.
PROTECT_S = 60
BOOT_S = 180
END_S = 120
REPLAY_S = 240
# A host that is too busy is no hang: who had less CPU time than this share of
# a bound may take so many times as long.
ENOUGH_CPU = 0.25
BUSY_FACTOR = 5
POLL_S = 0.02
LOOK_S = 0.2                # between two looks at the CPU time used
LOST = 4                    # exit status: the other side won the lease
SUMMARY = re.compile(r'replayed (\d+) bytes of log to its end: (\d+) '
                     r'instructions, (\d+) entries, (\d+) digests equal')


class RoundFailed(FtError):
    """kind: hang, divergence, replay, disks, client, crash"""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def is_over(machine):
    return machine.process.poll() is not None


class Round:
    """Its files are in a directory of its own until it is closed."""

    def __init__(self, plan, progress):
        self.plan = plan
        self._progress = progress
        self.directory = tempfile.mkdtemp(prefix='ft-soak-',
                                          dir=paths.scratch_dir())
        self._relay = None
        self._pair = self._load = self._client = None
        self._cpu_s = {}
        self._next_digest = self._next_look = 0.0
        self._digests = 0

    def _path(self, *names):
        return os.path.join(self.directory, *names)

    # --- recording ----------------------------------------------------------

    def _start(self):
        port = paths.free_port()
        pair = self._pair = Pair(
            append=f'ft.job=soak ft.size={self.plan["disk_blocks"]} '
            'ft.end=poweroff', directory=self.directory, peer_port=port)
        self._relay = Relay(pair.listen_port, port)
        pair.prepare_disks()
        os.mkdir(self._path('replay'))
        # As it is before the first instruction; a replay begins with it.
        guest.copy_disk(self._path('a', 'disk.raw'), self._path('disk.start'))
        with open(self._path('plan.json'), 'w', encoding='ascii') as file:
            json.dump(self.plan, file, indent=1)
        pair.start_switch()
        pair.start_backup(',log=b.log')
        pair.start_primary(',new=on,log=a.log')
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected', timeout=PROTECT_S)
        self._load = HostLoad(self.plan, pair, self._relay)

    def _note_cpu(self):
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_S
        for machine in self._pair.machines:
            try:
                self._cpu_s[machine.node] = process_cpu_s(machine.pid)
            except (FileNotFoundError, ProcessLookupError):
                pass

    def _digest(self):
        """Asks for one when it is due and the primary can answer."""
        primary = self._pair.primary
        if (time.monotonic() < self._next_digest or is_over(primary)
                or self._load.is_stopped('primary')):
            return
        self._next_digest = (time.monotonic()
                             + self.plan['digest_interval_s'])
        try:
            primary.qmp.command('x-ft-digest', timeout=30)
            self._digests += 1
        except QmpError:
            pass                # it runs alone, or the guest is off
        except FtTimeout:
            raise
        except FtError:
            pass                # it has ended

    def _turn(self):
        self._load.act()
        self._note_cpu()
        self._digest()
        self._check_machines()
        if self._client and self._client.error and not self._all_over():
            raise RoundFailed('client', self._client.error)
        time.sleep(POLL_S)

    def _check_machines(self):
        """Whoever has ended must have been allowed to."""
        for machine in (self._pair.primary, self._pair.backup):
            status = machine.process.poll()
            if status is None or status in (0, LOST):
                continue
            kind = 'divergence' if status == 3 else 'crash'
            raise RoundFailed(kind, f'{machine.process.name}: '
                              f'{machine.process.exit_text()}\n'
                              f'{machine.process.errors()}')

    def _all_over(self):
        return is_over(self._pair.primary) and is_over(self._pair.backup)

    def _hang_check(self, what, limit_s):
        """A function that raises when limit_s was not enough."""
        begun, cpu_s = time.monotonic(), sum(self._cpu_s.values())

        def check():
            waited = time.monotonic() - begun
            had_s = sum(self._cpu_s.values()) - cpu_s
            if waited > limit_s and (had_s > limit_s * ENOUGH_CPU or
                                     waited > limit_s * BUSY_FACTOR):
                raise RoundFailed('hang', f'{waited:.0f} s, {had_s:.0f} of '
                                  f'them with a CPU, without: {what}')
        return check

    def _wait(self, what, condition, limit_s):
        self._progress(what)
        check = self._hang_check(what, limit_s)
        while not condition():
            check()
            self._turn()

    def _said(self, text):
        return any(text in machine.serial() for machine in
                   (self._pair.primary, self._pair.backup))

    def _work(self):
        self._client = Client(self._pair.redis_port, self.plan['seed'])
        self._client.start()
        begun = time.monotonic()
        if self.plan['long_stop']:
            what, seconds = self.plan['long_stop']
            self._load.add(begun + self.plan['work_s'] / 2, what, seconds)
        self._progress('works')
        while time.monotonic() - begun < self.plan['work_s']:
            self._turn()
        self._client.stop()

    def _record(self):
        self._start()
        self._load.begin()
        self._wait('boots', lambda: self._said(guest.READY), BOOT_S)
        self._work()
        self._wait('powers off', self._all_over, END_S)
        self._client.join(10)
        if self._client.error and 'closed' not in self._client.error \
                and 'broke' not in self._client.error:
            raise RoundFailed('client', self._client.error)

    # --- replaying ----------------------------------------------------------

    def _replay(self, node):
        """Executes a side's log again; what it says about it."""
        self._progress(f'replays the log of {node}')
        guest.copy_disk(self._path('disk.start'),
                        self._path('replay', 'disk.raw'))
        machine = self._pair.start_replay_apart(
            f'../{node}/{node}.log', 'disk.raw,snapshot=off')
        check = self._hang_check('the end of the replay', REPLAY_S)
        while not is_over(machine):
            check()
            self._note_cpu()
            time.sleep(0.1)
        said = machine.process.errors()
        found = SUMMARY.search(said)
        if machine.process.poll() or not found:
            raise RoundFailed('replay', f'{machine.process.exit_text()}\n'
                              f'{said}')
        return dict(zip(('log_bytes', 'instructions', 'entries', 'digests'),
                        map(int, found.groups())))

    def _check_disks(self):
        names = [self._path(node, 'disk.raw')
                 for node in ('a', 'b', 'replay')]
        for other in names[1:]:
            if not filecmp.cmp(names[0], other, shallow=False):
                raise RoundFailed('disks', f'{names[0]} and {other} differ '
                                  'after the same history')

    def run(self):
        """Returns what there is to say about a round that passed."""
        begun = time.monotonic()
        self._record()
        recorded = time.monotonic()
        statuses = [machine.process.poll() for machine in
                    (self._pair.primary, self._pair.backup)]
        if LOST in statuses and statuses != [0, LOST]:
            outcome, node = 'takeover', 'b'
        else:
            outcome, node = 'alone' if LOST in statuses else 'protected', 'a'
        facts = self._replay(node)
        self._load.end()
        if outcome == 'protected':
            self._check_disks()
        return {
            'outcome': outcome, **facts, 'answers': self._client.answers,
            'record_s': round(recorded - begun, 1),
            'replay_s': round(time.monotonic() - recorded, 1),
            'cpu_s': {name: round(value, 1)
                      for name, value in self._cpu_s.items()},
        }

    # --- the end ------------------------------------------------------------

    def close(self, bundle=None, why=''):
        """Ends everything; the files go to the bundle, or away."""
        if self._load:
            self._load.end()
        if self._client:
            self._client.close()
        if self._pair:
            self._pair.close()
        if self._relay:
            self._relay.close()
        if bundle:
            shutil.rmtree(bundle, ignore_errors=True)
            os.makedirs(os.path.dirname(bundle), exist_ok=True)
            self._prune()
            self._explain(why)
            shutil.move(self.directory, bundle)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _explain(self, why):
        """A page for whoever finds the bundle."""
        argv = [paths.qemu(), *self._pair.options] if self._pair else []
        with open(self._path('README'), 'w', encoding='utf-8') as file:
            file.write(
                f'{why}\n\nmake soak SEED={self.plan["seed"]}  does the same '
                f'again (this was {commit()})\n\n'
                'The log of side a, executed again, in the directory replay:\n'
                '    cp ../disk.start disk.raw\n'
                f'    {shlex.join(argv)} -ft replay,log=../a/a.log\n'
                'with -netdev user,id=n0,restrict=on for the network.\n')

    def _prune(self):
        """Sockets can't be moved."""
        for where, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(where, name)
                if not os.path.isfile(path):
                    os.unlink(path)


def commit():
    """Of the work tree that the program was built from."""
    done = subprocess.run(
        ['git', '-C', paths.ROOT, 'describe', '--always', '--dirty'],
        text=True, capture_output=True)
    return done.stdout.strip() or 'unknown'
