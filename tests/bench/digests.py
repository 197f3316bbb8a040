"""What digests cost: the same jobs in one pair, with and without, in turns.

The boots of a guest differ from each other by more than digests cost, so
one boot serves for all.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import statistics

from rows import SIZES
from subject import DIGEST_MS, Subject

TURNS = {'md5': 6, 'forks': 20}     # each with and without


def _turns(subject, job, progress):
    """[(figures without, figures with)]"""
    pairs = []
    for number in range(TURNS[job]):
        progress(f'{job}, turn {number + 1} of {TURNS[job]}')
        both = {}
        # Who is first changes, for whatever gets slower or faster.
        for ms in (0, DIGEST_MS) if number % 2 else (DIGEST_MS, 0):
            subject.pair.primary.qmp.command('ft-digest-interval', ms=ms)
            both[ms] = subject.job(job, SIZES[job])
        pairs.append((both[0], both[DIGEST_MS]))
    return pairs


def _percent(pairs, key):
    """More with digests than without; the median of the turns."""
    return 100 * (statistics.median(
        with_[key] / without[key] for without, with_ in pairs) - 1)


def digests(network, qemu, append, progress):
    figures = {}
    with Subject('protected', network, qemu, append) as subject:
        progress('boots')
        subject.boot()
        for job in TURNS:
            subject.job(job, SIZES[job])        # warms up
            pairs = _turns(subject, job, progress)
            for key in ('seconds', 'cpu_s', 'backup_cpu_s'):
                figures[f'{job}_{key}_percent'] = _percent(pairs, key)
                figures[f'{job}_{key}'] = [
                    [round(part[key], 3) for part in pair] for pair in pairs]
    return figures
