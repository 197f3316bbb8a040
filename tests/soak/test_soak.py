#!/usr/bin/python3
"""A few rounds of the soak, with seeds of their own each time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
for folder in ('lib', 'bench'):
    sys.path.insert(0, os.path.join(HERE, os.pardir, folder))

import store  # noqa: E402
from plan import make_plan  # noqa: E402
from rounds import Round  # noqa: E402


class Soak(unittest.TestCase):
    def do_round(self, wanted):
        """With a seed whose plan is of the wanted kind."""
        draw = random.SystemRandom()
        while not wanted(plan := make_plan(draw.randrange(1 << 32))):
            pass
        seed = plan['seed']
        print(f'# seed {seed}: {", ".join(plan["loads"])}')
        this = Round(plan, lambda text: None)
        bundle, why = store.bundle(seed), 'see the test\'s output'
        try:
            row = this.run()
            bundle = None
        finally:
            this.close(bundle, why)
        print(f'# {row["outcome"]}, {row["instructions"] / 1e6:.0f} million '
              f'instructions, {row["answers"]} answers, '
              f'{row["record_s"]:.0f} + {row["replay_s"]:.0f} s')
        self.assertGreater(row['digests'], 0)

    def test_quiet(self):
        self.do_round(lambda plan: plan['loads'] == ['none'])

    def test_busy_host(self):
        self.do_round(lambda plan: plan['hogs'] == 2
                      and not plan['long_stop'])

    def test_stops(self):
        self.do_round(lambda plan: 'short stops' in plan['loads']
                      and plan['hogs'] < 2 and not plan['long_stop'])

    def test_long_stop(self):
        self.do_round(lambda plan: plan['long_stop'] and plan['hogs'] < 2)


class Plan(unittest.TestCase):
    def test_a_seed_is_a_plan(self):
        self.assertEqual(make_plan(7), make_plan(7))
        self.assertNotEqual(make_plan(7), make_plan(8))

    def test_other_rounds_are_load_enough(self):
        alone = next(plan for plan in map(make_plan, range(100))
                     if plan['hogs'] == 3)
        self.assertEqual(make_plan(alone['seed'], 2)['hogs'], 1)
        self.assertEqual(make_plan(alone['seed'], 4)['hogs'], 0)

    def test_rounds_of_two_builds_add_up(self):
        good = {'commit': 'a', 'seed': 7, 'loads': ['none'], 'seconds': 90,
                'result': 'ok', 'outcome': 'protected', 'digests': 5,
                'instructions': 3e9, 'log_bytes': 2048, 'record_s': 10,
                'replay_s': 5, 'cpu_s': {'a': 4, 'b': 3, 'replay': 1}}
        bad = {'commit': 'b', 'seed': 8, 'loads': ['none', '1 hogs'],
               'seconds': 270, 'result': 'failed', 'kind': 'hang'}
        some = store.sums([good, good | {'seed': 9}, bad])
        lines = list(store.summary(some))
        self.assertEqual([one['cache'] for one in some], [7, 7])
        self.assertIn('| all | 3 | 1 | 0 | 6.0 | 10 | 4.0 KiB | 0.1 |', lines)
        self.assertIn('Rounds under each load: 1 hogs 1, none 3.', lines)
        self.assertIn('CPU share: the primary had 0.40 cores while it '
                      'recorded, the backup 0.30, the replay 0.20.', lines)
        self.assertIn('Failed: hang 1.', lines)


if __name__ == '__main__':
    unittest.main()
