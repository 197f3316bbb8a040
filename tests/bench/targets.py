"""What is to be reached: the lines of the table that judges.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import dataclasses
import statistics

PROTECTED, PLAIN, COUNTING = 'protected', 'plain', 'counting'


@dataclasses.dataclass
class Target:
    """One line: a figure of a row, and what it has to be."""
    name: str
    row: str
    key: str                # of the row's figures
    unit: str
    how: str                # one of HOW
    to_reach: float
    stretch: float
    extra: str = ''         # a condition beside it (see judge)

    @property
    def more_is_better(self):
        return self.how in ('speed', 'counting', 'rate')

    @property
    def figure_unit(self):
        if self.more_is_better:
            return 'x'
        return self.unit


def _added(values):
    return values[PROTECTED] - values[PLAIN]


# How the figure comes from the medians of the modes.
HOW = {
    # both in seconds: how fast it is compared with ...
    'speed': lambda values: values[PLAIN] / values[PROTECTED],
    'counting': lambda values: values[COUNTING] / values[PROTECTED],
    # both something a second
    'rate': lambda values: values[PROTECTED] / values[PLAIN],
    'added': _added,
    'only': lambda values: values[PROTECTED],
}
NEEDS = {'speed': (PLAIN, PROTECTED), 'counting': (COUNTING, PROTECTED),
         'rate': (PLAIN, PROTECTED), 'added': (PLAIN, PROTECTED),
         'only': (PROTECTED,)}

TARGETS = (
    Target('md5 of 100 MiB', 'md5', 'seconds', 's', 'speed', 0.92, 0.97),
    Target('400 processes', 'forks', 'seconds', 's', 'speed', 0.85, 0.95),
    Target('md5, of counting alone', 'md5', 'seconds', 's', 'counting',
           0.97, 0.99),
    Target('processes, of counting', 'forks', 'seconds', 's', 'counting',
           0.97, 0.99),
    Target('4,000 writes of 4 KiB', 'write', 'seconds', 's', 'speed',
           0.85, 1.0),
    Target('reads, 8 x 50 MiB', 'reads', 'seconds', 's', 'speed', 0.85, 1.0),
    Target('log, idle', 'idle', 'log_mbit_s', 'Mbit/s', 'only', 0.05, 0.01),
    Target('log, fixed jobs', 'jobs', 'log_own_mbit_s', 'Mbit/s', 'only',
           0.5, 0.1),
    Target('log, redis', 'redis', 'log_own_mbit_s', 'Mbit/s', 'only',
           0.5, 0.1),
    Target('lag, computing 60 s', 'lag', 'last_ms', 'ms', 'only', 20, 5,
           'not growing'),
    Target('lag, p99', 'lag', 'p99_ms', 'ms', 'only', 20, 5),
    Target('ping, median', 'ping', 'median_ms', 'ms', 'added', 0.4, 0.2),
    Target('ping, p99', 'ping', 'p99_ms', 'ms', 'added', 3, 1),
    Target('HTTP 12 KiB, median', 'http', 'median_ms', 'ms', 'added', 2, 1),
    Target('TCP, guest receives', 'receive', 'mbit_s', 'Mbit/s', 'rate',
           0.85, 0.92),
    Target('TCP, guest sends', 'send', 'mbit_s', 'Mbit/s', 'rate',
           0.9, 0.99),
    Target('TCP, 1 Gbit/s, receives', 'receive-1g', 'mbit_s', 'Mbit/s',
           'rate', 0.85, 0.92),
    Target('TCP, 1 Gbit/s, sends', 'send-1g', 'mbit_s', 'Mbit/s', 'rate',
           0.9, 0.99),
    Target('blackout, killed, median', 'kill', 'median_ms', 'ms', 'only',
           300, 150),
    Target('blackout, killed, worst', 'kill', 'worst_ms', 'ms', 'only',
           1000, 500),
    Target('blackout, power, median', 'power', 'median_ms', 'ms', 'only',
           300, 150),
    Target('blackout, power, worst', 'power', 'worst_ms', 'ms', 'only',
           1000, 500),
    Target('digests, of md5', 'digests', 'md5_seconds_percent', '%', 'only',
           2, 1),
    Target('digests, of processes', 'digests', 'forks_seconds_percent', '%',
           'only', 2, 1),
    Target('false takeovers, busy', 'busy', 'false', '', 'only', 0, 0),
    Target('memory of a side', 'memory', 'mib', 'MiB', 'only', 128, 64),
    Target('memory, beyond plain', 'memory', 'mib', 'MiB', 'added', 128, 64),
)

# Of these rows together the log of a busy guest is taken.
FIXED_JOBS = ('boot', 'md5', 'forks', 'reads', 'write')
LARGEST = {'lag_ms_max', 'held_outputs_max', 'max_ms'}


def _jobs(rows):
    """The fixed jobs as one row."""
    parts = [rows[name] for name in FIXED_JOBS
             if 'own_bytes' in rows.get(name, {})]
    if len(parts) < len(FIXED_JOBS):
        return None
    seconds = sum(part['seconds'] for part in parts)
    own = sum(part['own_bytes'] for part in parts)
    return {'seconds': seconds, 'log_own_mbit_s': own * 8 / 1e6 / seconds}


def medians(data):
    """{mode: {row: {key: median over the rounds}}}; what failed is absent.

    What is measured once is in the mode protected.
    """
    found = {}
    for run in data['runs']:
        rows = dict(run['rows'], jobs=_jobs(run['rows']))
        for row, figures in rows.items():
            if figures and 'error' not in figures:
                found.setdefault(run['mode'], {}).setdefault(
                    row, []).append(figures)
    result = {mode: {row: _merge(parts) for row, parts in rows.items()}
              for mode, rows in found.items()}
    for row, figures in data['once'].items():
        if 'error' not in figures:
            result.setdefault(PROTECTED, {})[row] = figures
    return result


def _merge(parts):
    """Of each number its median; of maxima the largest."""
    return {key: (max if key in LARGEST else statistics.median)(
                [part[key] for part in parts])
            for key, value in parts[0].items()
            if isinstance(value, (int, float))
            and all(key in part for part in parts)}


def values_of(target, middle):
    """{mode: number} of the modes that have it."""
    return {mode: rows[target.row][target.key]
            for mode, rows in middle.items()
            if target.key in rows.get(target.row, {})}


def figure_of(target, values):
    """None where something it needs was not measured."""
    if any(mode not in values for mode in NEEDS[target.how]):
        return None
    try:
        return HOW[target.how](values)
    except ZeroDivisionError:
        return None


def cpu_figure_of(target, middle):
    """The same by CPU seconds of the machine instead of wall seconds: about
    what a host of its own would come to.  None where that says nothing."""
    if target.how in ('speed', 'counting'):
        return figure_of(target, {mode: rows[target.row]['cpu_s']
                                  for mode, rows in middle.items()
                                  if target.row in rows})
    if target.how == 'rate':
        return figure_of(target, {
            mode: rows[target.row]['bytes'] / rows[target.row]['cpu_s']
            for mode, rows in middle.items()
            if rows.get(target.row, {}).get('cpu_s')})
    return None


def range_of(target, data):
    """(lowest, highest) of the rounds' own figures; None: there are no two."""
    rounds = {}
    for run in data['runs']:
        rounds.setdefault(run['round'], []).append(run)
    figures = [judge(target, medians({'runs': runs, 'once': {}}))[1]
               for runs in rounds.values()]
    figures = [figure for figure in figures if figure is not None]
    return (min(figures), max(figures)) if len(figures) > 1 else None


def _grows(target, middle):
    """The lag of the last ten seconds against that of the first."""
    figures = middle[PROTECTED][target.row]
    return figures['last_ms'] > figures['first_ms'] + target.stretch


def judge(target, middle):
    """(values by mode, figure or None, verdict)"""
    values = values_of(target, middle)
    figure = figure_of(target, values)
    if figure is None:
        return values, None, 'not measured'

    def within(bound):
        if target.more_is_better:
            return figure >= bound
        return figure <= bound
    if target.extra and _grows(target, middle):
        return values, figure, 'NO: it grows'
    if within(target.stretch):
        return values, figure, 'yes, stretch'
    return values, figure, 'yes' if within(target.to_reach) else 'NO'
