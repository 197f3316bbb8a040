"""What one round does, all of it drawn from its seed.

The seed fixes what is done and when it is begun; how the host's scheduler
answers is different each time, and is the point.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import random

# Short stops stay below the time-outs of suspicion (ft/limits.h: 160 ms at the
# least); on a busy host they may not, and then a takeover is as good as none.
SHORT_STOP_S = (0.03, 0.12)
LONG_STOP_S = (1.8, 3.0)
LONG_STOP_SHARE = 0.15
# A schedule is made for this long; the guest may end sooner.
SCHEDULE_S = 25
WORK_S = (1.5, 4.0)


def _host_load(rng):
    return rng.choice([0, 1, 2, 2, 3])


def _short_stops(rng):
    """(when, what, seconds) in the order of time."""
    moment = rng.uniform(0.5, 3)
    while moment < SCHEDULE_S:
        side = rng.choice(['primary', 'backup'])
        yield moment, f'stop {side}', round(rng.uniform(*SHORT_STOP_S), 3)
        moment += rng.expovariate(1 / 2.5)


def _stalls(rng):
    moment = rng.uniform(0.5, 3)
    while moment < SCHEDULE_S:
        yield moment, 'stall link', round(rng.uniform(*SHORT_STOP_S), 3)
        moment += rng.expovariate(1 / 3)


def make_plan(seed, neighbours=0):
    """neighbours: rounds beside this one, each as good as a hog."""
    rng = random.Random(seed)
    events = []
    loads = []
    hogs = max(_host_load(rng) - neighbours, 0)
    if neighbours:
        loads.append(f'{neighbours} other rounds')
    if hogs:
        loads.append(f'{hogs} hogs')
    if rng.random() < 0.6:
        events += _short_stops(rng)
        loads.append('short stops')
    if rng.random() < 0.3:
        events += _stalls(rng)
        loads.append('stalled link')
    throttle = None
    if rng.random() < 0.4:
        throttle = int(100_000 * 10 ** rng.uniform(0, 1.3))
        loads.append('throttled link')
    long_stop = None
    if rng.random() < LONG_STOP_SHARE:
        side = rng.choice(['primary', 'backup'])
        # Counted from the start of the work, so that there is something.
        long_stop = [f'stop {side}', round(rng.uniform(*LONG_STOP_S), 3)]
        loads.append(f'{side} stopped for long')
    return {
        'seed': seed,
        'hogs': hogs,
        'throttle_bytes_per_s': throttle,
        'events': sorted([round(moment, 3), what, seconds]
                         for moment, what, seconds in events),
        'long_stop': long_stop,
        'digest_interval_s': round(rng.uniform(0.3, 1.5), 2),
        'work_s': round(rng.uniform(*WORK_S), 2),
        'disk_blocks': rng.choice([16, 64, 256]),
        'loads': loads or ['none'],
    }
