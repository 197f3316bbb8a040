"""The tables that a person reads.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from host import BUSY_CORES
from targets import (PLAIN, PROTECTED, TARGETS, cpu_figure_of, judge,
                     medians, range_of)

NAME_WIDTH = 25
# Rows of the second table, where CPU time says something.
COMPUTED = {'boot': 'boot to redis', 'idle': 'idle', 'md5': 'md5',
            'forks': 'processes', 'reads': 'reads', 'write': 'writes',
            'redis': 'redis', 'ping': 'ping', 'http': 'HTTP',
            'receive': 'TCP receives', 'send': 'TCP sends',
            'receive-1g': 'receives, 1 Gbit/s', 'send-1g': 'sends, 1 Gbit/s',
            'lag': 'lag'}


def number(value):
    """With three digits that count."""
    if value is None:
        return '-'
    if value == 0:
        return '0'
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 \
        else 3
    return f'{value:,.{digits}f}'


def rounds_of(target, data):
    """The range of the rounds' own figures, as text."""
    found = range_of(target, data)
    return f'{number(found[0])} to {number(found[1])}' if found else ''


def heading(data):
    host = data['host']
    rounds = f'{data["rounds"]} round' + 's' * (data['rounds'] > 1)
    yield (f'{data["date"]}, commit {data["commit"]}; medians of {rounds}, '
           f'{data["seconds"] / 60:.1f} minutes')
    yield (f'{host["cores"]} cores of {host["cpu"]}; load at the start '
           f'{host["load_at_start"]:.2f}; others used '
           f'{host["cores_used_by_others"]:.2f} cores')
    yield f'network: {data["network"]}'
    if host['busy_at_start']:
        yield ('WARNING: the host was busy before the start: '
               'do not rely on this')
    if host['cores_used_by_others'] > BUSY_CORES:
        yield ('WARNING: others kept the host busy meanwhile: '
               'times are uncertain')
    yield ('Both machines of the pair and its client shared these cores; '
           'a real pair has\ntwo hosts.')


def judged(data, middle):
    """The table of what is to be reached."""
    modes = data['modes']
    yield (f'{"":<{NAME_WIDTH}}{"":>7}'
           + ''.join(f'{mode:>10}' for mode in modes)
           + f'{"figure":>9}{"rounds":>16}{"by CPU":>8}{"to reach":>9}{"stretch":>8}'
           '  reached')
    for target in TARGETS:
        values, figure, verdict = judge(target, middle)
        if not values:
            continue
        sign = '+' if target.how == 'added' and (figure or 0) >= 0 else (
            'x' if target.more_is_better else '')
        yield (f'{target.name:<{NAME_WIDTH}}{target.unit:>7}'
               + ''.join(f'{number(values.get(mode)):>10}' for mode in modes)
               + f'{sign + number(figure) if figure is not None else "-":>9}'
               f'{rounds_of(target, data):>16}'
               f'{number(cpu_figure_of(target, middle)):>8}'
               f'{number(target.to_reach):>9}{number(target.stretch):>8}  '
               f'{verdict}')


def computing(data, middle):
    """CPU seconds beside wall seconds."""
    modes = data['modes']
    pairs = [mode for mode in modes if mode in middle
             and 'backup_cpu_s' in middle[mode].get('boot', {})]
    yield (f'{"CPU s of the machine":<20}'
           + ''.join(f'{mode:>10}' for mode in modes)
           + '  /plain  backup   wall s  waited for a core: primary  backup'
           '   lag ms: median   max')
    for row, name in COMPUTED.items():
        have = {mode: middle[mode][row] for mode in modes
                if row in middle.get(mode, {})}
        if not have:
            continue
        line = (f'{name:<20}'
                + ''.join(f'{number(have.get(mode, {}).get("cpu_s")):>10}'
                          for mode in modes))
        pair = have.get((pairs or [PROTECTED])[-1])
        if pair and 'backup_cpu_s' in pair:
            plain = have.get(PLAIN)
            ratio = (pair['cpu_s'] / plain['cpu_s']
                     if plain and plain['cpu_s'] else None)
            line += (f'{number(ratio):>8}{number(pair["backup_cpu_s"]):>8}'
                     f'{number(pair["seconds"]):>9}'
                     f'{pair["waited_s"] / pair["seconds"]:>28.0%}'
                     f'{pair["backup_waited_s"] / pair["seconds"]:>8.0%}'
                     f'{number(pair["lag_ms_median"]):>18}'
                     f'{number(pair["lag_ms_max"]):>6}')
        yield line


def logs(middle):
    """(name, seconds, bytes of log, of input, on the channel, Mbit/s)"""
    for row, name in COMPUTED.items():
        figures = middle.get(PROTECTED, {}).get(row, {})
        if 'channel_bytes' in figures:
            yield (name, figures['seconds'], figures['log_bytes'],
                   figures['input_bytes'], figures['channel_bytes'],
                   figures['log_mbit_s'])


def _logs(middle):
    rows = list(logs(middle))
    if rows:
        yield (f'{"the log, KiB":<20}{"log":>10}{"input":>10}'
               f'{"channel":>10}{"Mbit/s":>10}')
        for name, _, log, read, channel, rate in rows:
            yield (f'{name:<20}{number(log / 1024):>10}'
                   f'{number(read / 1024):>10}{number(channel / 1024):>10}'
                   f'{number(rate):>10}')
        yield ''


def memory(data, middle):
    """What the memory of each side is."""
    for mode in data['modes']:
        figures = middle.get(mode, {}).get('memory', {})
        for side in ('primary', 'backup'):
            if f'{side}_mib' in figures:
                kinds = ', '.join(
                    f'{kind} {number(figures[f"{side}_{kind}_mib"])}'
                    for kind in ('code', 'data', 'programs')
                    if f'{side}_{kind}_mib' in figures)
                name = mode if mode in (PLAIN, 'counting', 'alone') \
                    else f'{mode}, {side}'
                yield (f'memory of {name}: {number(figures[f"{side}_mib"])} '
                       f'MiB ({kinds})')


def path(data):
    """(mode, side, thread, switches, calls) of a ping; the sum after each
    side."""
    for mode, rows in data['once'].get('path', {}).items():
        if mode == 'error':
            continue
        for side in ('primary', 'backup'):
            mine = [row for row in rows if row['side'] == side]
            for row in mine:
                if max(row['switches'], row['calls']) >= 0.05:
                    yield (mode, side, row['thread'], row['switches'],
                           row['calls'])
            if mine:
                yield (mode, side, 'together',
                       sum(row['switches'] for row in mine),
                       sum(row['calls'] for row in mine))


def _path(data):
    rows = list(path(data))
    if rows:
        yield (f'{"for each ping":<40}{"thread switches":>16}'
               f'{"system calls":>14}')
        for mode, side, thread, switches, calls in rows:
            yield (f'{mode + ", " + side + ": " + thread:<40}'
                   f'{switches:>16.2f}{calls:>14.2f}')
        yield ''


def takeovers(data):
    """Why, where there was one for nothing."""
    for why in data['once'].get('busy', {}).get('ends', []):
        yield f'false takeover: {why}'


def micro(data):
    """Nanoseconds an event."""
    rows = data['once'].get('micro', {}).get('rows')
    if rows:
        yield f'{"microbenchmarks":<25}{"ns each":>10}'
        for row in rows:
            yield f'{row["name"]:<25}{number(row["ns"]):>10}  {row["note"]}'
        yield ''


def failures(data):
    for run in data['runs']:
        for row, figures in run['rows'].items():
            if 'error' in figures:
                yield (f'FAILED: {row} of {run["mode"]}, round '
                       f'{run["round"]}: {figures["error"]}')
    for row, figures in data['once'].items():
        if 'error' in figures:
            yield f'FAILED: {row}: {figures["error"]}'


def report(data):
    """Lines for a person."""
    middle = medians(data)
    yield from heading(data)
    yield ''
    yield from judged(data, middle)
    yield ''
    yield from computing(data, middle)
    yield ''
    yield from _logs(middle)
    yield from memory(data, middle)
    yield ''
    yield from _path(data)
    yield from takeovers(data)
    yield from micro(data)
    yield from failures(data)
