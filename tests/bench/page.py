"""docs/performance.md: what the tool writes into it, and its pictures.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil

from ftlib import FtError, paths

from paper import table_1, table_2
from plots import draw_all
from table import (COMPUTED, failures, heading, logs, memory, number, path,
                   rounds_of)
from targets import (PLAIN, PROTECTED, TARGETS, cpu_figure_of, judge,
                     medians)

BEGIN = '<!-- bench: written by tests/bench/run --write -->'
END = '<!-- bench: end -->'
PAGE = os.path.join(paths.ROOT, 'docs', 'performance.md')
PICTURES = os.path.join(paths.ROOT, 'docs', 'performance')


def _targets(data, middle):
    modes = data['modes']
    yield '| | | ' + ' | '.join(modes) \
        + ' | figure | rounds | by CPU | to reach | stretch | reached |'
    yield '|---' * (len(modes) + 8) + '|'
    for target in TARGETS:
        values, figure, verdict = judge(target, middle)
        shown = '-' if figure is None else (
            f'{number(figure)}' + (' x' if target.more_is_better else ''))
        yield (f'| {target.name} | {target.unit} | '
               + ' | '.join(number(values.get(mode)) for mode in modes)
               + f' | **{shown}** | {rounds_of(target, data)} '
               f'| {number(cpu_figure_of(target, middle))} '
               f'| {number(target.to_reach)} '
               f'| {number(target.stretch)} | {verdict} |')


def _computing(data, middle):
    modes = data['modes']
    yield ('| CPU seconds of | ' + ' | '.join(modes)
           + ' | / plain | backup | wall, s | primary waited | backup waited '
           '| lag ms, median | max |')
    yield '|---' * (len(modes) + 8) + '|'
    for row, name in COMPUTED.items():
        have = {mode: middle[mode][row] for mode in modes
                if row in middle.get(mode, {})}
        pair = have.get(PROTECTED)
        if not pair:
            continue
        plain = have.get(PLAIN, {}).get('cpu_s')
        ratio = pair['cpu_s'] / plain if plain else None
        yield (f'| {name} | '
               + ' | '.join(number(have.get(mode, {}).get('cpu_s'))
                            for mode in modes)
               + f' | {number(ratio)} | {number(pair["backup_cpu_s"])} '
               f'| {number(pair["seconds"])} '
               f'| {pair["waited_s"] / pair["seconds"]:.0%} '
               f'| {pair["backup_waited_s"] / pair["seconds"]:.0%} '
               f'| {number(pair["lag_ms_median"])} '
               f'| {number(pair["lag_ms_max"])} |')


def _logs(middle):
    rows = list(logs(middle))
    if not rows:
        return
    yield ''
    yield '### The log'
    yield ''
    yield ('KiB of log entries, of input among them (packets for the guest), '
           'and of what was sent on the log channel for them: frames, packed, '
           'and keep-alives, without TCP\'s headers. Rates above are of the '
           'channel.')
    yield ''
    yield '| row | seconds | log | input | channel | channel, Mbit/s |'
    yield '|---|---|---|---|---|---|'
    for name, seconds, log, read, channel, rate in rows:
        yield (f'| {name} | {number(seconds)} | {number(log / 1024)} '
               f'| {number(read / 1024)} | {number(channel / 1024)} '
               f'| {number(rate)} |')


def _busy(data):
    figures = data['once'].get('busy')
    if not figures or 'error' in figures:
        return
    yield ''
    yield (f'All cores busy (`make bench-busy`, {figures["date"]}, commit '
           f'{figures["commit"]}): {figures["minutes"]:g} minutes, '
           f'{figures["hogs"]} endless loops beside the pair, whose guest '
           f'computed and acknowledged {figures["writes"]:,} writes: '
           f'{figures["false"]} false takeovers; lag '
           f'{number(figures["lag_ms_median"])} ms median, '
           f'{number(figures["lag_ms_max"])} ms at most.')
    for why in figures['ends']:
        yield f'- {why}'


def _kills(data):
    for row, name in (('kill', 'SIGKILL'), ('power', 'lost with its host')):
        figures = data['once'].get(row)
        if figures and 'error' not in figures:
            yield ''
            yield (f'Primary {name}, {figures["count"]} times: '
                   f'{figures["lost"]} acknowledged writes lost; blackouts '
                   + ', '.join(f'{value:,.0f}' for value
                               in figures['all_ms'])
                   + f' ms; lag before {figures["lag_before_ms"]:,.0f} ms.')
            for error in figures['errors']:
                yield f'- not measured: {error.splitlines()[0]}'


def _micro(data):
    rows = data['once'].get('micro')
    if not rows or 'error' in rows:
        return
    yield ''
    yield '### Microbenchmarks'
    yield ''
    yield '| what | ns each | |'
    yield '|---|---|---|'
    for row in rows['rows']:
        yield f'| {row["name"]} | {number(row["ns"])} | {row["note"]} |'


def _path(data):
    rows = list(path(data))
    if not rows:
        return
    yield ''
    yield '### The way of an answer'
    yield ''
    yield ('Thread switches and system calls for each ping, beyond those of '
           'a guest that nobody pings; what one costs is among the '
           'microbenchmarks.')
    yield ''
    yield '| mode | side | thread | thread switches | system calls |'
    yield '|---|---|---|---|---|'
    for mode, side, thread, switches, calls in rows:
        yield (f'| {mode} | {side} | {thread} | {switches:.2f} '
               f'| {calls:.2f} |')


def _pictures(names):
    yield ''
    yield '### Pictures'
    yield ''
    yield ('A dot is a round, a bar the median, the broken line what the '
           'protected machine may need.')
    yield ''
    small = [name for row, name in names
             if row not in ('kill', 'power', 'flame')]
    for name in small:
        yield f'<img src="performance/{name}" alt="{name[:-4]}" width="410">'
    for row, name in names:
        if row in ('kill', 'power'):
            yield ''
            yield ('The primary killed by SIGKILL:' if row == 'kill' else
                   'The primary lost with its host, its link silent:')
            yield ''
            yield f'![blackouts: {row}](performance/{name})'


def _flame(data):
    flame = data['once'].get('flame')
    if not flame:
        return
    yield ''
    yield '### Where the time goes'
    yield ''
    if 'error' in flame:
        yield f'No flame graph: {flame["error"]}'
        return
    yield (f'The primary\'s vCPU thread during the slowest row, '
           f'{flame["row"]}: {flame["samples"]:,} samples of CPU time.')
    yield ''
    yield '![flame graph of the vCPU thread](performance/flame.svg)'
    yield ''
    yield '| function, itself | share |'
    yield '|---|---|'
    for name, share in flame['top']:
        yield f'| `{name}` | {share:.1%} |'


def lines(data, names):
    middle = medians(data)
    yield '```'
    yield from heading(data)
    yield '```'
    yield ''
    yield from _targets(data, middle)
    problems = list(failures(data))
    if problems:
        yield ''
        for problem in problems:
            yield f'- {problem.splitlines()[0]}'
    yield from _kills(data)
    yield from _busy(data)
    yield ''
    for line in memory(data, middle):
        yield f'- {line}'
    yield ''
    yield '### CPU time'
    yield ''
    yield from _computing(data, middle)
    yield from _logs(middle)
    yield ''
    yield '### Beside the VM-FT paper'
    yield ''
    yield from table_1(middle)
    yield ''
    yield from table_2(middle)
    yield from _path(data)
    yield from _micro(data)
    yield from _flame(data)
    yield from _pictures(names)


def write(data, flame):
    """flame: path of its picture, or None."""
    with open(PAGE, encoding='utf-8') as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        raise FtError(f'{PAGE} has no marks "{BEGIN}" and "{END}"')
    shutil.rmtree(PICTURES, ignore_errors=True)
    names = draw_all(data, PICTURES)
    if flame and os.path.exists(flame):
        shutil.copy(flame, os.path.join(PICTURES, 'flame.svg'))
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    with open(PAGE, 'w', encoding='utf-8') as file:
        file.write(f'{head}{BEGIN}\n' + '\n'.join(lines(data, names))
                   + f'\n{END}{tail}')
