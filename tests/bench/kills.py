"""Blackouts: the demo's kills, each with a fresh pair.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time

from ftlib import FtError, guest, paths

from cycle import Cycle

BEFORE_S = 1.5
AFTER_S = 0.5
KILLS_MIN = 3


class _Quiet:
    """A screen that only says what is going on."""

    def __init__(self, progress):
        self._progress = progress

    def live(self, name, text):
        self._progress(name)

    def step(self, name, text):
        pass

    good = bad = step

    def keep(self):
        pass


def kills(count, power, until, progress):
    """power: the host is lost, not only its QEMU.  until: CLOCK_MONOTONIC
    when it is to end, though not before KILLS_MIN of them."""
    work = tempfile.mkdtemp(prefix='ft-kills-', dir=paths.scratch_dir())
    options = argparse.Namespace(power=power, plain=False, before=BEFORE_S,
                                 after=AFTER_S, seed=1,
                                 lease='local')
    results, errors = [], []
    try:
        template = os.path.join(work, 'disk.raw')
        guest.make_disk(template)
        for number in range(1, count + 1):
            if number > KILLS_MIN and time.monotonic() > until:
                break
            def tell(text, number=number):
                progress(f'kill {number} of {count}: {text}')
            cycle = Cycle(number, options, _Quiet(tell), work, template)
            try:
                results.append(cycle.run())
            except FtError as error:
                errors.append(str(error))
                shutil.rmtree(cycle.directory, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not results:
        raise FtError(f'no kill of {count} went well: {errors[0]}')
    blackouts = [result['blackout_s'] * 1000 for result in results]
    return {
        'count': len(results), 'errors': errors,
        'lost': sum(result['lost'] + result['wrong'] for result in results),
        'median_ms': statistics.median(blackouts),
        'worst_ms': max(blackouts), 'best_ms': min(blackouts),
        'all_ms': sorted(round(value, 1) for value in blackouts),
        'lag_before_ms': statistics.median(result['lag_before_ms']
                                           for result in results),
        'cycles': [{key: result[key] for key in
                    ('cycle', 'blackout_s', 'phases')}
                   for result in results],
    }
