"""All measurements, in turns.  A row that fails costs no other.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import subprocess
import time

from ftlib import FtError

from busy import busy
from flame import flame
from host import Others
from kills import kills
from micro import micro
from rows import ROWS, lag
from subject import PAIRS, Subject
from targets import TARGETS, judge, medians

# What happens once, not in each round; busy only when it is asked for.
ONCE = ('lag', 'kill', 'power', 'flame', 'micro', 'busy')
USUAL_ROWS = ('boot', *ROWS, *ONCE[:-1])
ALL_ROWS = ('boot', *ROWS, *ONCE)
ONCE_S = 330                # about what the rows that happen once take
ATTEMPTS = 3                # a subject that a row broke is started anew


def errors(data):
    """[(mode, row, why)]"""
    found = [(run['mode'], row, figures['error']) for run in data['runs']
             for row, figures in run['rows'].items() if 'error' in figures]
    return found + [('', row, figures['error'])
                    for row, figures in data['once'].items()
                    if 'error' in figures]


class _Session:
    """One mode in one round."""

    def __init__(self, options, build, network, mode, progress):
        self._options = options
        self._qemu = build.against if mode == 'against' else build.qemu
        self._network = network
        self._mode = mode
        self._progress = progress
        self._subject = None
        self.results = {}

    def _measure(self, row, measure):
        """Whether the subject is still good for another row."""
        self._progress(row)
        try:
            self.results[row] = measure()
            return True
        except (FtError, OSError, subprocess.SubprocessError) as error:
            self.results[row] = {'error': str(error)}
            return False

    def _boot(self):
        self._subject = Subject(self._mode, self._network, self._qemu,
                                self._options.append)
        return self._measure('boot', self._subject.boot)

    def run(self):
        rows = [row for row in ROWS if row in self._options.rows]
        for _ in range(ATTEMPTS):
            try:
                if self._boot():
                    while rows:
                        row = rows.pop(0)
                        if not self._measure(
                                row, lambda row=row: ROWS[row](
                                    self._subject)):
                            break
            finally:
                self._subject.close()
            if not rows:
                break
        for row in rows:
            self.results[row] = {'error': 'no machine was left for it'}
        return self.results


def _short(row, figures):
    """For the line that stays on the screen."""
    if 'error' in figures:
        return f'{row} FAILED'
    for key, unit in (('mib', 'MiB'), ('mbit_s', 'Mbit/s'), ('per_s', '/s'),
                      ('median_ms', 'ms'), ('seconds', 's')):
        if row == 'idle' and 'log_mbit_s' in figures:
            return f'{row} {figures["log_mbit_s"]:.3f} Mbit/s'
        if key in figures:
            return f'{row} {figures[key]:.4g} {unit}'
    return row


def _is_time_for(number, began, options):
    """Whether another round and what follows them fits before the bound."""
    elapsed = time.monotonic() - began
    after = ONCE_S if options.complete else 0
    return not number or \
        elapsed + elapsed / number + after < options.bound * 60


def _rounds(options, build, network, screen, data):
    modes = options.modes
    began = time.monotonic()
    for number in range(options.rounds):
        if not _is_time_for(number, began, options):
            screen.bad('rounds', f'only {number}: the rest would not end '
                       f'within {options.bound:g} minutes (--bound)')
            data['rounds'] = number
            break
        first = number % len(modes)
        for mode in modes[first:] + modes[:first]:
            where = f'round {number + 1} of {options.rounds}'

            def progress(text, mode=mode, where=where):
                screen.live(mode, f'{where}: {text}')
            session = _Session(options, build, network, mode, progress)
            run = {'round': number + 1, 'mode': mode,
                   'rows': session.results}
            data['runs'].append(run)
            others = Others()
            session.run()
            run['cores_used_by_others'] = others.cores()
            screen.step(mode, f'{where}: ' + ', '.join(
                _short(row, figures)
                for row, figures in session.results.items()))
            for row, figures in session.results.items():
                if 'error' in figures:
                    screen.bad(row, figures['error'])


def _lag(options, build, network, progress):
    progress('boots')
    with Subject('protected', network, build.qemu, options.append) as subject:
        subject.boot()
        progress('a minute of computing')
        return lag(subject)


def slowest(data):
    """The row that is the furthest from what is to be reached."""
    middle = medians(data)
    reached = []
    for target in TARGETS:
        figure = judge(target, middle)[1]
        if target.more_is_better and figure is not None:
            reached.append((figure / target.to_reach, target.row))
    return min(reached)[1] if reached else 'forks'


def _once(options, build, network, screen, data):
    steps = {
        'lag': lambda tell: _lag(options, build, network, tell),
        'kill': lambda tell: kills(options.kills, False, tell),
        'power': lambda tell: kills(options.kills, True, tell),
        'flame': lambda tell: flame(
            network, build.qemu, options.append,
            options.flame_row or slowest(data), options.flame, tell),
        'micro': micro,
        'busy': lambda tell: busy(network, build.qemu, options.minutes, tell),
    }
    for row, step in steps.items():
        if row not in options.rows:
            continue
        began = time.monotonic()
        try:
            data['once'][row] = step(lambda text, row=row:
                                     screen.live(row, text))
            screen.step(row, f'took {time.monotonic() - began:.0f} s')
        except (FtError, OSError, subprocess.SubprocessError) as error:
            data['once'][row] = {'error': str(error)}
            screen.bad(row, str(error))


def run(options, build, network, screen, data):
    """Fills data['runs'] and data['once']."""
    if network.why_no_ping and 'ping' in options.rows:
        options.rows.remove('ping')
        data['once']['ping'] = {
            'error': f'not measured: {network.why_no_ping}'}
    if any(row in ROWS or row == 'boot' for row in options.rows):
        _rounds(options, build, network, screen, data)
    if 'protected' in options.modes or any(mode in PAIRS for mode
                                           in options.modes):
        _once(options, build, network, screen, data)
