"""What all rounds so far came to.

One JSON object a line and a round, in ~/.cache/qemu-ft/soak/rounds.jsonl (or
below $XDG_CACHE_HOME), so that several runs and several builds add up.  A cache
goes with its machine: sums.jsonl, in the tree, has the sum of each build of each
cache that was ever written to the page.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
SUMS = os.path.join(HERE, 'sums.jsonl')
NODES = {'a': 'record_s', 'b': 'record_s', 'replay': 'replay_s'}


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


def _read(path):
    try:
        with open(path, encoding='utf-8') as file:
            return [json.loads(line) for line in file if line.endswith('\n')]
    except FileNotFoundError:
        return []


def rows():
    return _read(_path())


def count(commit):
    return sum(row['commit'] == commit for row in rows())


def _total(good, key):
    return sum(row.get(key, 0) for row in good)


def _sum(cache, commit, some):
    """A line of sums.jsonl.  Every value but the names can be added up."""
    good = [row for row in some if row['result'] == 'ok']
    cores = collections.Counter()
    for row in good:
        for node, cpu in row.get('cpu_s', {}).items():
            if cpu:
                cores.update({f'{node} cpu': cpu, f'{node} wall':
                              row[NODES[node]]})
    return {
        'cache': cache, 'commit': commit, 'rounds': len(some),
        'failed': len(some) - len(good),
        'taken_over': sum(row['outcome'] != 'protected' for row in good),
        'instructions': _total(good, 'instructions'),
        'digests': _total(good, 'digests'),
        'log_bytes': _total(good, 'log_bytes'),
        'seconds': round(_total(some, 'seconds'), 1),
        'loads': collections.Counter(
            load for row in some for load in row['loads']),
        'kinds': collections.Counter(
            row['kind'] for row in some if row['result'] != 'ok'),
        'cores': {key: round(value, 1) for key, value in cores.items()},
    }


def sums(all_rows):
    """One for each build.  The first round's seed names the cache."""
    builds = collections.defaultdict(list)
    for row in all_rows:
        builds[row['commit']].append(row)
    return [_sum(all_rows[0]['seed'], commit, some)
            for commit, some in builds.items()]


def all_sums():
    """Those of the tree, with this cache's brought up to date."""
    merged = {(some['cache'], some['commit']): some
              for some in [*_read(SUMS), *sums(rows())]}
    return list(merged.values())


def keep(some_sums):
    with open(SUMS, 'w', encoding='utf-8') as file:
        for some in some_sums:
            file.write(json.dumps(some) + '\n')


def _size(number):
    for unit in ('', 'K', 'M', 'G'):
        if number < 1024:
            return f'{number:.1f} {unit}iB' if unit else f'{number} bytes'
        number /= 1024
    return f'{number:.1f} TiB'


def _line(name, some):
    return (name, f'{_total(some, "rounds"):,}', f'{_total(some, "failed"):,}',
            f'{_total(some, "taken_over"):,}',
            f'{_total(some, "instructions") / 1e9:,.1f}',
            f'{_total(some, "digests"):,}',
            _size(_total(some, 'log_bytes')),
            f'{_total(some, "seconds") / 3600:.1f}')


HEAD = ('build', 'rounds', 'failed', 'taken over', '10^9 instructions',
        'digests equal', 'log', 'hours')


def _names(some_sums, key):
    number = collections.Counter()
    for some in some_sums:
        number.update(some[key])
    return number


def _listed(number):
    return ', '.join(f'{name} {count}' for name, count
                     in sorted(number.items())) + '.'


def summary(some_sums):
    """The report's lines, as Markdown."""
    builds = collections.defaultdict(list)
    for some in some_sums:
        builds[some['commit']].append(some)
    yield '| ' + ' | '.join(HEAD) + ' |'
    yield '|' + '---|' * len(HEAD)
    for commit, some in builds.items():
        yield '| ' + ' | '.join(_line(commit, some)) + ' |'
    yield '| ' + ' | '.join(_line('all', some_sums)) + ' |'
    yield ''
    yield 'Rounds under each load: ' + _listed(_names(some_sums, 'loads'))
    cores = _names(some_sums, 'cores')
    if cores:
        a, b, replay = (cores[f'{node} cpu'] / (cores[f'{node} wall'] or 1)
                        for node in NODES)
        yield (f'CPU share: the primary had {a:.2f} cores while it recorded, '
               f'the backup {b:.2f}, the replay {replay:.2f}.')
    kinds = _names(some_sums, 'kinds')
    if kinds:
        yield 'Failed: ' + _listed(kinds)
