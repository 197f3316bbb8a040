#!/usr/bin/python3
"""What `make bench` makes of its numbers: verdicts, the page, flame graphs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
for folder in ('lib', 'demo', 'bench'):
    sys.path.insert(0, os.path.join(TESTS, folder))

import campaign  # noqa: E402
import flame  # noqa: E402
import micro  # noqa: E402
import page  # noqa: E402
import plots  # noqa: E402
import table  # noqa: E402
from ftlib import paths  # noqa: E402
from targets import TARGETS, cpu_figure_of, judge, medians  # noqa: E402

PERF = '''\
\t    55d0 replay_mutex_lock+0x10 (/x/qemu-measured-7)
\t    7f00 rr_cpu_thread_fn+0x20 (/x/qemu-measured-7)

\tffffffff81 __schedule+0x2 ([kernel.kallsyms])
\t    7f00 rr_cpu_thread_fn+0x90 (/x/qemu-measured-7)

\t    55d0 helper_lookup_tb_ptr+0x10 (/x/qemu-measured-7)
\t    7f11 [unknown] ([unknown])
\t    1234 [unknown] ([unknown])
'''


def work(seconds, cpu_s, **more):
    return {'seconds': seconds, 'cpu_s': cpu_s, **more}


def pair(seconds, cpu_s, size=0, read=0):
    return work(seconds, cpu_s, backup_cpu_s=1.0, waited_s=0.1,
                backup_waited_s=0.2, lag_ms_median=3, lag_ms_max=9,
                log_bytes=size * 2, input_bytes=read,
                channel_bytes=size, own_bytes=size - read,
                log_own_mbit_s=0.2, log_mbit_s=0.3)


def sample():
    """Three rounds; in one of them a row failed."""
    def runs(mode, *seconds):
        return [{'round': index + 1, 'mode': mode, 'rows': {
            'md5': pair(value, 2.0) if mode == 'protected'
            else work(value, 1.9)}}
            for index, value in enumerate(seconds)]
    data = {
        'date': '2026-01-01 00:00', 'commit': 'abc', 'rounds': 3,
        'seconds': 60, 'network': 'none', 'once': {},
        'modes': ['plain', 'protected'],
        'host': {'cores': 2, 'cpu': 'x', 'load_at_start': 0,
                 'busy_at_start': False, 'cores_used_by_others': 0},
        'runs': runs('plain', 1.9, 2.0, 9.0) + runs('protected', 2.1, 2.0,
                                                    8.0),
    }
    data['runs'][-1]['rows']['md5'] = {'error': 'it fell over'}
    data['once']['digests'] = {'forks_seconds': [[1.5, 1.6], [1.5, 1.5]],
                               'forks_seconds_percent': 3.3}
    data['once']['lag'] = {**pair(60, 55), 'first_ms': 2.0, 'last_ms': 3.0,
                           'p99_ms': 8, 'max_ms': 9, 'samples': [[0, 1], [60, 3]]}
    return data


def target(name):
    return next(target for target in TARGETS if target.name == name)


class Bench(unittest.TestCase):
    def test_medians_without_what_failed(self):
        middle = medians(sample())
        self.assertEqual(middle['plain']['md5']['seconds'], 2.0)
        self.assertAlmostEqual(middle['protected']['md5']['seconds'], 2.05)

    def test_verdicts(self):
        middle = medians(sample())
        md5 = target('md5 of 100 MiB')
        _, figure, verdict = judge(md5, middle)
        self.assertAlmostEqual(figure, 2.0 / 2.05)
        self.assertEqual(verdict, 'yes, stretch')
        self.assertAlmostEqual(cpu_figure_of(md5, middle), 0.95)
        self.assertEqual(judge(target('400 processes'), middle)[2],
                         'not measured')
        middle['protected']['md5']['seconds'] = 4.0
        self.assertEqual(judge(md5, middle)[2], 'NO')

    def test_lag_that_grows_is_not_reached(self):
        data = sample()
        lag = target('lag, computing 60 s')
        self.assertEqual(judge(lag, medians(data))[2], 'yes, stretch')
        data['once']['lag'].update(first_ms=1.0, last_ms=15.0)
        self.assertEqual(judge(lag, medians(data))[2], 'NO: it grows')

    def test_a_row_that_breaks_its_machine_gets_the_others_a_new_one(self):
        machines = []

        class Machine:
            def __init__(self, *_):
                machines.append(self)

            def boot(self):
                return {'seconds': 1}

            def close(self):
                pass

        def broken(subject):
            raise KeyError('what nobody thought of')
        options = argparse.Namespace(rows=['a', 'b', 'c'], append='')
        build = argparse.Namespace(qemu='x', against=None)
        rows = {'a': lambda subject: {'of': machines.index(subject)},
                'b': broken,
                'c': lambda subject: {'of': machines.index(subject)}}
        with mock.patch.object(campaign, 'Subject', Machine), \
                mock.patch.object(campaign, 'ROWS', rows):
            session = campaign._Session(options, build, None, 'protected',
                                        lambda text: None)
            results = session.run()
        self.assertEqual(results['a'], {'of': 0})
        self.assertIn('what nobody thought of', results['b']['error'])
        self.assertEqual(results['c'], {'of': 1})

    def test_log_is_counted_without_its_input(self):
        rows = {name: pair(1.0, 1.0, size=100_000, read=40_000)
                for name in ('boot', 'md5', 'forks', 'reads', 'write')}
        data = {**sample(), 'runs': [{'round': 1, 'mode': 'protected',
                                      'rows': rows}]}
        self.assertAlmostEqual(
            medians(data)['protected']['jobs']['log_own_mbit_s'], 0.48)

    def test_a_failure_is_shown_and_costs_nothing_else(self):
        text = '\n'.join(table.report(sample()))
        self.assertIn('FAILED: md5 of protected, round 3: it fell over', text)
        self.assertRegex(text, r'md5 of 100 MiB .* x0\.98 .*yes')

    def test_page_and_pictures(self):
        data = sample()
        with tempfile.TemporaryDirectory() as directory:
            names = plots.draw_all(data, directory)
            self.assertEqual([row for row, _ in names],
                             ['md5', 'lag', 'digests'])
            for _, name in names:
                xml.etree.ElementTree.parse(os.path.join(directory, name))
            text = '\n'.join(page.lines(data, names))
        self.assertIn('| md5 of 100 MiB | s | 2.00 | 2.05 | **0.98 x** '
                      '| 0.90 to 1.00 | 0.95 | 0.92 | 0.97 | yes, stretch |', text)
        self.assertIn('- FAILED: md5 of protected', text)
        with open(page.PAGE, encoding='utf-8') as file:
            marks = file.read()
        self.assertLess(marks.index(page.BEGIN), marks.index(page.END))

    def test_microbenchmarks(self):
        if not os.path.exists(os.path.join(paths.build_dir(), 'qemu',
                                           'build.ninja')):
            self.skipTest('QEMU is not built here')
        rows = micro.micro(lambda text: None)['rows']
        names = [row['name'] for row in rows]
        for what in ('encode', 'decode', 'gate', 'log', 'frame', 'digest'):
            self.assertTrue([name for name in names
                             if name.startswith(what)], names)
        for row in rows:
            self.assertGreater(row['ns'], 0, row)

    def test_flame_graph(self):
        stacks = flame.fold(PERF)
        self.assertEqual(stacks, {
            ('rr_cpu_thread_fn', 'replay_mutex_lock'): 1,
            ('rr_cpu_thread_fn', '__schedule [k]'): 1,
            ('translated code', 'helper_lookup_tb_ptr'): 1})
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'flame.svg')
            flame.draw(stacks, 'a title', path)
            words = [text.text for text in
                     xml.etree.ElementTree.parse(path).iter()
                     if text.tag.endswith('text')]
        self.assertIn('rr_cpu_thread_fn', words)
        self.assertIn('helper_lookup_tb_ptr', words)


if __name__ == '__main__':
    unittest.main()
