"""One cycle: a fresh pair, load, SIGKILL of the primary, and what came of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import signal
import time

from ftlib import FtError, guest
from ftlib.pair import Pair
from ftlib.relay import Relay

import storage
from load import Load

PROTECTED_BOUND_S = 60
READY_BOUND_S = 300
TAKEOVER_BOUND_S = 60
RESUME_BOUND_S = 60
SAMPLE_S = 0.1
PLAIN_PAUSE_S = 1.0         # --plain: as long as the machine is stopped


class Cycle:
    """run() gives a dictionary, for results.json and the pictures."""

    def __init__(self, number, options, screen, directory, template):
        self._options = options
        self._screen = screen
        self._seed = options.seed + number
        self._lag = []              # (CLOCK_MONOTONIC, ms, bytes, bytes/s)
        self._load = None
        self._pair = None
        self._storage = None
        self._link = None           # --power: what can fall silent
        self.directory = os.path.join(directory, f'pair-{number}')
        self._template = template
        self.result = {'cycle': number, 'seed': self._seed}

    def run(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self._pair = Pair(append='ft.job=redis', directory=self.directory,
                          template=self._template)
        self._pair.log = None
        self._storage = storage.make(self._options.lease, self._pair,
                                     self._template)
        if self._options.power:
            self._link = Relay(self._pair.listen_port)
            self._pair.peer_port = self._link.port
        try:
            self._start()
            self._boot()
            self._put_load()
            killed = self._kill()
            self._wait_takeover(killed)
            self._go_on(killed)
            self._check(killed)
            self._load.close()
            self._pair.close()
            self.result.update(self._storage.check(self._screen))
        finally:
            if self._load:
                self._load.close()
            self._pair.close()
            self._storage.close()
            if self._link:
                self._link.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return self.result

    # the steps

    def _start(self):
        pair, screen = self._pair, self._screen
        self._storage.start(screen)
        pair.start_switch()
        screen.step('network', f'127.0.0.1:{pair.redis_port} leads through '
                    f'ft-switch to {guest.ADDRESS}:{guest.REDIS_PORT} in the '
                    'guest')
        if self._options.plain:
            pair.start_plain()
            screen.step('machine', f'pid {pair.primary.pid}, not protected')
            return
        pair.start_backup()
        pair.backup.wait_state('listening', timeout=PROTECTED_BOUND_S)
        screen.step('backup', f'pid {pair.backup.pid}, waits on '
                    f'127.0.0.1:{pair.listen_port} with '
                    f'{self._storage.owner}')
        pair.start_primary()
        screen.step('primary', f'pid {pair.primary.pid}')
        status = pair.primary.wait_state('protected',
                                         timeout=PROTECTED_BOUND_S)
        pair.backup.wait_state('protected', timeout=PROTECTED_BOUND_S)
        lease = status['lease']
        screen.good('pair', f'protected: generation {status["generation"]}, '
                    f'owner {lease["owner"]}, partner {lease["partner"]}')
        fence = status.get('disks', {}).get('fence')
        if fence:
            screen.step('disk', f'shared, {fence}')

    def _sample(self):
        """Lag and log rate as the primary knows them, for people to read."""
        if self._options.plain:
            return 'not protected'
        status = self._pair.primary.query()
        if status['state'] != 'protected':
            raise FtError(f'the primary is {status["state"]} '
                          f'({status["reason"]}) before the kill: '
                          f'{status.get("text", "")}')
        self._lag.append((time.monotonic(), status['lag-ms'],
                          status['lag-bytes'], status['log-rate']))
        return (f'lag {status["lag-ms"]:,} ms, '
                f'log {status["log-rate"] / 1024:,.0f} KiB/s')

    def _boot(self):
        start = time.monotonic()
        machine = self._pair.primary
        while guest.READY not in machine.serial():
            if machine.process.poll() is not None:
                raise FtError(f'{machine.process.name} ended '
                              f'({machine.process.exit_text()}) while the '
                              f'guest booted\n{machine.process.errors()}')
            if time.monotonic() - start > READY_BOUND_S:
                raise FtError(f'the guest was not ready in {READY_BOUND_S} s; '
                              f'its console: {machine.serial_path}')
            self._screen.live('guest', 'boots: ' + self._sample())
            time.sleep(SAMPLE_S)
        self.result['boot_s'] = time.monotonic() - start
        versions = guest.versions()
        kernel = next(version for name, version in versions.items()
                      if name.startswith('linux-image'))
        redis = versions['redis-server'].split(':')[-1].split('-')[0]
        self._screen.step('guest', f'Debian\'s Linux {kernel} and '
                          f'redis-server {redis}: ready after '
                          f'{self.result["boot_s"]:.1f} s')

    def _show_load(self, text):
        self._screen.live('load', f'{len(self._load.acks):,} writes '
                          f'acknowledged, {self._load.rate():,.0f}/s, {text}')

    def _put_load(self):
        self._load = Load(self._pair.redis_port, self._seed)
        self._load.start()
        end = None
        while not end or time.monotonic() < end:
            self._show_load(self._sample())
            if self._load.error:
                raise FtError(f'before the kill: {self._load.error}')
            if not end and self._load.acks:
                end = time.monotonic() + self._options.before
            time.sleep(SAMPLE_S)
        self._screen.keep()

    def _kill(self):
        process = self._pair.primary.process
        self.result['acknowledged_before'] = len(self._load.acks)
        if self._options.plain:
            process.signal(signal.SIGSTOP)
            self._screen.bad('pause', f'SIGSTOP to pid {process.pid}')
            return time.monotonic()
        moment = time.monotonic()
        if self._link:
            self._link.stall()
        process.kill()
        process.wait(10)
        self._screen.bad('kill', f'SIGKILL to the primary, pid {process.pid}'
                         + (', and its link is silent' if self._link else ''))
        return moment

    def _wait_takeover(self, killed):
        """Returns when the backup is live."""
        if self._options.plain:
            time.sleep(PLAIN_PAUSE_S)
            self._pair.primary.process.signal(signal.SIGCONT)
            return
        backup = self._pair.backup
        while True:
            status = backup.query()
            if status['state'] == 'alone':
                break
            if status['state'] in ('ended', 'halted'):
                raise FtError(f'the backup is {status["state"]} '
                              f'({status["reason"]}) instead of live: '
                              f'{status.get("text", "")}')
            if time.monotonic() - killed > TAKEOVER_BOUND_S:
                raise FtError(f'the backup is still {status["state"]} '
                              f'{TAKEOVER_BOUND_S} s after the kill')
            self._screen.live('gap', f'{self._load.silence():.1f} s without '
                              f'an acknowledgement; backup: '
                              f'{status["state"]}')
            time.sleep(0.02)
        self.result['generation'] = status['generation']
        self._screen.good('takeover', 'the backup is live: generation '
                          f'{status["generation"]}')

    def _go_on(self, killed):
        """The same connection has to go on."""
        load = self._load
        while not load.acks or load.acks[-1] <= killed:
            if load.error:
                raise FtError(f'after the kill: {load.error}')
            if time.monotonic() - killed > RESUME_BOUND_S:
                raise FtError('no write was acknowledged within '
                              f'{RESUME_BOUND_S} s of the kill')
            self._screen.live('gap', f'{load.silence():.1f} s without an '
                              'acknowledgement')
            time.sleep(0.005)
        self._screen.step('connection', 'the same TCP connection goes on: '
                          'first acknowledgement '
                          f'{self._first_ack(killed) - killed:.2f} s after '
                          'the kill')
        end = time.monotonic() + self._options.after
        while time.monotonic() < end and not load.error:
            self._show_load('on the survivor')
            time.sleep(SAMPLE_S)
        self._screen.keep()
        load.stop()
        if load.error:
            raise FtError(f'after the kill: {load.error}')

    def _first_ack(self, killed):
        return next(ack for ack in self._load.acks if ack > killed)

    # the evidence

    def _check(self, killed):
        load, result = self._load, self.result
        self._screen.live('check', 'reading all keys back')
        start, end = load.blackout(killed)
        result.update(load.check())
        result.update({
            'acknowledged': len(load.acks),
            'blackout_s': end - start,
            'blackout_from_kill_s': [start - killed, end - killed],
            'gaps_before': load.gaps_before(killed),
            'phases': self._phases(killed),
            'acks_from_kill_s': [round(ack - killed, 4) for ack in load.acks],
            'lag_samples': [[round(t - killed, 3), ms, size, rate]
                            for t, ms, size, rate in self._lag
                            if t >= load.started],
        })
        result.update(self._lag_figures())
        self._screen.step('check', f'{result["acknowledged"]:,} keys read '
                          'back')

    def _lag_figures(self):
        loaded = [sample for sample in self._lag
                  if sample[0] >= self._load.started]
        if not loaded:
            return {}
        return {'lag_before_ms': loaded[-1][1],
                'lag_longest_ms': max(sample[1] for sample in loaded),
                'log_rate_bytes_s': sum(sample[3] for sample in loaded)
                / len(loaded)}

    def _phases(self, killed):
        """[(name, seconds after the kill)]: the ends of the takeover's steps.

        The survivor's own time line; then the client, whose retransmission
        is what is left.
        """
        if self._options.plain:
            return []
        line = self._pair.backup.query()['takeover']
        moment = (line['heard-us'] / 1e6 - time.time() + time.monotonic()
                  - killed)
        phases = []
        for name in ('detection', 'lease', 'fence', 'drain', 'switch',
                     'announcement'):
            if name == 'fence' and not line['fence-us']:
                continue        # each side has disks of its own
            moment += line[f'{name}-us'] / 1e6
            phases.append((name, moment))
        # An answer that was on its way at the kill is not the survivor's.
        phases.append(('client', self._first_ack(killed + max(0, moment))
                       - killed))
        return phases
