"""All measurements, in turns.  A row that fails costs no other.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import time

from ftlib import FtError

from busy import busy
from digests import digests
from flame import flame
from host import Others
from kills import kills
from micro import micro
from path import path
from rows import ROWS, lag
from subject import PAIRS, Subject
from targets import TARGETS, judge, medians

# What happens once, not in each round; busy only when it is asked for.
ONCE = ('lag', 'digests', 'kill', 'power', 'flame', 'path', 'micro', 'busy')
USUAL_ROWS = ('boot', *ROWS, *ONCE[:-1])
ALL_ROWS = ('boot', *ROWS, *ONCE)
TAP_ROWS = ('ping', 'receive-1g', 'send-1g')    # ft-switch can't do these
ONCE_S = 480                # about what the rows that happen once take
POWER_S, LAST_S = 170, 80   # of which power and what follows it, and that
ATTEMPTS = 3                # a subject that a row broke is started anew


def errors(data):
    """[(mode, row, why)]"""
    found = [(run['mode'], row, figures['error']) for run in data['runs']
             for row, figures in run['rows'].items() if 'error' in figures]
    return found + [('', row, figures['error'])
                    for row, figures in data['once'].items()
                    if 'error' in figures]


def _teller(screen, name, before=''):
    """progress(text): a line where it is another text than the last one."""
    last = None

    def progress(text):
        nonlocal last
        if text != last:
            last = text
            screen.live(name, before + text)
    return progress


def _text(error):
    return str(error) if isinstance(error, FtError) else repr(error)


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
        except Exception as error:      # of whatever kind: see above
            self.results[row] = {'error': _text(error)}
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


def _is_time_for(number, options):
    """Whether another round and what follows them fits before the bound."""
    elapsed = time.monotonic() - options.began
    after = ONCE_S if options.complete else 0
    return not number or \
        elapsed + elapsed / number + after < options.bound * 60


def _rounds(options, build, network, screen, data):
    modes = options.modes
    for number in range(options.rounds):
        if not _is_time_for(number, options):
            screen.bad('rounds', f'only {number}: the rest would not end '
                       f'within {options.bound:g} minutes (--bound)')
            data['rounds'] = number
            break
        first = number % len(modes)
        for mode in modes[first:] + modes[:first]:
            where = f'round {number + 1} of {options.rounds}'
            session = _Session(options, build, network, mode,
                               _teller(screen, mode, f'{where}: '))
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
    end = options.began + options.bound * 60
    steps = {
        'lag': lambda tell: _lag(options, build, network, tell),
        'digests': lambda tell: digests(network, build.qemu, options.append,
                                        tell),
        'kill': lambda tell: kills(options.kills, False, end - POWER_S,
                                   tell),
        'power': lambda tell: kills(options.kills, True, end - LAST_S,
                                    tell),
        'flame': lambda tell: flame(
            network, build.qemu, options.append,
            options.flame_row or slowest(data), options.flame, tell),
        'path': lambda tell: path(network, build.qemu, options.append, tell),
        'micro': micro,
        'busy': lambda tell: busy(network, build.qemu, options.minutes, tell),
    }
    for row, step in steps.items():
        if row not in options.rows:
            continue
        began = time.monotonic()
        try:
            data['once'][row] = step(_teller(screen, row))
            screen.step(row, f'took {time.monotonic() - began:.0f} s')
        except Exception as error:      # of whatever kind: see above
            data['once'][row] = {'error': _text(error)}
            screen.bad(row, _text(error))


def run(options, build, network, screen, data):
    """Fills data['runs'] and data['once']."""
    options.began = time.monotonic()
    for row in TAP_ROWS if network.why_no_ping else ():
        if row in options.rows:
            options.rows.remove(row)
            data['once'][row] = {
                'error': f'not measured: {network.why_no_ping}'}
    if any(row in ROWS or row == 'boot' for row in options.rows):
        _rounds(options, build, network, screen, data)
    if 'protected' in options.modes or any(mode in PAIRS for mode
                                           in options.modes):
        _once(options, build, network, screen, data)
