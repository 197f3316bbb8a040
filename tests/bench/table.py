"""Medians over the rounds, and the tables a person reads.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import statistics

from host import BUSY_CORES
from measure import MODES

# What is shown, in this order; the words are for people.
TIMED = {
    'boot': 'boot to redis',
    'md5': 'md5 of 100 MiB',
    'forks': '400 processes',
    'read': '800 reads of 64 KiB',
    'write': '4,000 writes of 4 KiB',
}
WRITES = {
    'writes_per_s': ('redis: writes/s', '.0f'),
    'latency_ms_median': ('  median ms', '.2f'),
    'latency_ms_p99': ('  p99 ms', '.2f'),
}
WATCHED = {'idle': 'idle', **TIMED, 'redis': 'redis under load'}
LARGEST = {'lag_ms_max', 'held_outputs_max', 'latency_ms_max'}
NAME_WIDTH = 21


def _by_mode(runs, mode):
    return [run for run in runs if run['mode'] == mode]


def _merge(dictionaries):
    """Of each figure its median; of maxima the largest."""
    return {key: (max if key in LARGEST else statistics.median)(
                [entry[key] for entry in dictionaries])
            for key in dictionaries[0]}


def _ratios(runs, pick):
    """Ratio of medians, and the range of the rounds' own ratios."""
    values = {mode: [pick(run) for run in _by_mode(runs, mode)]
              for mode in MODES}
    middle = {mode: statistics.median(values[mode]) for mode in MODES}
    rounds = [mine / other for mine, other in
              zip(values['protected'], values['icount'])]
    return {
        'to_icount': middle['protected'] / middle['icount'],
        'to_icount_range': [min(rounds), max(rounds)],
        'to_plain': middle['protected'] / middle['plain'],
    }


def summary(runs):
    """What results.json says besides the single measurements."""
    modes = {}
    for mode in MODES:
        mine = _by_mode(runs, mode)
        modes[mode] = {
            'jobs': {job: _merge([run['jobs'][job] for run in mine])
                     for job in mine[0]['jobs']},
            'redis': _merge([run['redis'] for run in mine]),
        }
    ratios = {job: _ratios(runs, lambda run, job=job:
                           run['jobs'][job]['seconds']) for job in TIMED}
    cpu = {job: _ratios(runs, lambda run, job=job:
                        run['jobs'][job]['cpu_s'])['to_icount']
           for job in TIMED}
    for key in WRITES:
        ratios[key] = _ratios(runs, lambda run, key=key: run['redis'][key])
    return {'modes': modes, 'ratios': ratios, 'cpu_to_icount': cpu,
            'digests': {job: _digests(runs, job) for job in TIMED}}


def _digests(runs, job):
    """CPU of primary and backup with digests, to that without."""
    def cpu(mode):
        return statistics.median(
            run['jobs'][job]['cpu_s'] + run['jobs'][job]['backup_cpu_s']
            for run in _by_mode(runs, mode))
    return cpu('protected') / cpu('undigested')


def _heading(data):
    host = data['host']
    rounds = f'{data["rounds"]} round' + 's' * (data['rounds'] > 1)
    yield (f'{data["date"]}, commit {data["commit"]}; medians of {rounds}, '
           f'{data["seconds"] / 60:.1f} minutes')
    yield (f'{host["cores"]} cores of {host["cpu"]}; load at the start '
           f'{host["load_at_start"]:.2f}; others used '
           f'{host["cores_used_by_others"]:.2f} cores')
    if host['busy_at_start']:
        yield ('WARNING: the host was busy before the start: '
               'do not rely on this')
    if host['cores_used_by_others'] > BUSY_CORES:
        yield ('WARNING: others kept the host busy meanwhile: '
               'times are uncertain')
    yield ('Both machines of the pair and its client shared these cores; '
           'a real pair has\ntwo hosts.')


def _cost(medians):
    """Seconds of each mode, and the ratios."""
    yield (f'{"seconds":<{NAME_WIDTH}}'
           + ''.join(f'{mode:>{len(mode) + 2}}' for mode in MODES)
           + '  /icount (rounds)   /plain')
    modes, ratios = medians['modes'], medians['ratios']

    def row(name, pick, form, ratio):
        cells = ''.join(f'{pick(modes[mode]):>{len(mode) + 2}{form}}'
                        for mode in MODES)
        low, high = ratio['to_icount_range']
        return (f'{name:<{NAME_WIDTH}}{cells}{ratio["to_icount"]:>8.2f} '
                f'{low:>4.2f}-{high:<4.2f}{ratio["to_plain"]:>8.2f}')

    for job, name in TIMED.items():
        yield row(name, lambda mode, job=job: mode['jobs'][job]['seconds'],
                  '.2f', ratios[job])
    for key, (name, form) in WRITES.items():
        yield row(name, lambda mode, key=key: mode['redis'][key], form,
                  ratios[key])


def _pair(medians):
    """What only a pair has."""
    yield (f'{"the pair":<{NAME_WIDTH}}    log    log   lag ms        held'
           '   CPU of a core  /icount')
    yield (f'{"":<{NAME_WIDTH}}  KiB/s    KiB   median   max   max'
           '  primary  backup     CPU')
    jobs = medians['modes']['protected']['jobs']
    for job, name in WATCHED.items():
        of = jobs[job]
        ratio = medians['cpu_to_icount'].get(job)
        yield (f'{name:<{NAME_WIDTH}}'
               f'{of["log_bytes_per_s"] / 1024:>7,.1f}'
               f'{of["log_bytes"] / 1024:>7,.0f}'
               f'{of["lag_ms_median"]:>9,.0f}{of["lag_ms_max"]:>6,.0f}'
               f'{of["held_outputs_max"]:>6}'
               f'{of["cpu_s"] / of["seconds"]:>9.0%}'
               f'{of["backup_cpu_s"] / of["seconds"]:>8.0%}'
               + (f'{ratio:>8.2f}' if ratio else ''))


def _cost_of_digests(medians):
    yield 'digests: CPU of both machines, to the same pair without'
    yield '  ' + ', '.join(f'{TIMED[job]} {ratio:.2f}' for job, ratio in
                           medians['digests'].items())


def report(data):
    """Lines for a person."""
    yield from _heading(data)
    yield ''
    yield from _cost(data['medians'])
    yield ''
    yield from _pair(data['medians'])
    yield ''
    yield from _cost_of_digests(data['medians'])
    yield ''
