"""What all rounds so far came to, kept outside the tree.

One JSON object a line and a round, in ~/.cache/qemu-ft/soak/rounds.jsonl (or
below $XDG_CACHE_HOME), so that several runs and several builds add up.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import json
import os


def directory():
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(cache, 'qemu-ft', 'soak')


def bundle(seed):
    return os.path.join(directory(), 'failed', str(seed))


def _path():
    return os.path.join(directory(), 'rounds.jsonl')


def add(row):
    os.makedirs(directory(), exist_ok=True)
    with open(_path(), 'a', encoding='utf-8') as file:
        file.write(json.dumps(row) + '\n')


def rows():
    try:
        with open(_path(), encoding='utf-8') as file:
            return [json.loads(line) for line in file if line.endswith('\n')]
    except FileNotFoundError:
        return []


def count(commit):
    return sum(row['commit'] == commit for row in rows())


def _total(good, key):
    return sum(row.get(key, 0) for row in good)


def _size(number):
    for unit in ('', 'K', 'M', 'G'):
        if number < 1024:
            return f'{number:.1f} {unit}iB' if unit else f'{number} bytes'
        number /= 1024
    return f'{number:.1f} TiB'


def _line(name, some):
    good = [row for row in some if row['result'] == 'ok']
    seconds = _total(some, 'seconds')
    return (name, f'{len(some):,}', f'{len(some) - len(good):,}',
            f'{sum(row["outcome"] != "protected" for row in good):,}',
            f'{_total(good, "instructions") / 1e9:,.1f}',
            f'{_total(good, "digests"):,}',
            _size(_total(good, 'log_bytes')), f'{seconds / 3600:.1f}')


HEAD = ('build', 'rounds', 'failed', 'taken over', '10^9 instructions',
        'digests equal', 'log', 'hours')


def _cores(good, node):
    """CPU time of a QEMU against the wall's."""
    some = [(row['cpu_s'][node], row['record_s'] if node != 'replay'
             else row['replay_s']) for row in good
            if row.get('cpu_s', {}).get(node)]
    wall = sum(seconds for _, seconds in some)
    return sum(cpu for cpu, _ in some) / wall if wall else 0


def summary(all_rows):
    """The report's lines, as Markdown."""
    builds = collections.defaultdict(list)
    for row in all_rows:
        builds[row['commit']].append(row)
    good = [row for row in all_rows if row['result'] == 'ok']
    yield '| ' + ' | '.join(HEAD) + ' |'
    yield '|' + '---|' * len(HEAD)
    for commit, some in builds.items():
        yield '| ' + ' | '.join(_line(commit, some)) + ' |'
    yield '| ' + ' | '.join(_line('all', all_rows)) + ' |'
    yield ''
    loads = collections.Counter(
        load for row in all_rows for load in row['loads'])
    yield ('Rounds under each load: ' + ', '.join(
        f'{load} {number}' for load, number in sorted(loads.items())) + '.')
    if good:
        yield ('CPU share: the primary had '
               f'{_cores(good, "a"):.2f} cores while it recorded, the backup '
               f'{_cores(good, "b"):.2f}, the replay '
               f'{_cores(good, "replay"):.2f}; a round took '
               f'{_total(good, "seconds") / len(good):.0f} s.')
    kinds = collections.Counter(row['kind'] for row in all_rows
                                if row['result'] != 'ok')
    if kinds:
        yield ('Failed: ' + ', '.join(
            f'{kind} {number}' for kind, number in sorted(kinds.items()))
            + '.')
