"""The runner counts what happened, also when a program says nothing.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import importlib.machinery
import importlib.util
import io
import unittest
from contextlib import redirect_stdout
from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / 'run'
LOADER = importlib.machinery.SourceFileLoader('tests_run', str(PATH))
SPEC = importlib.util.spec_from_loader('tests_run', LOADER)
run = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(run)


class Runner(unittest.TestCase):
    def setUp(self):
        self.report = run.Report()

    def tap(self, script, limit_s=20):
        """Runs a shell script that prints TAP; (passed, failed, skipped)."""
        with redirect_stdout(io.StringIO()) as output:
            run.run_tap(self.report, 'it', ['sh', '-c', script], limit_s)
        self.output = output.getvalue()
        return (self.report.passed, len(self.report.failed),
                len(self.report.skipped))

    def test_results(self):
        self.assertEqual(self.tap(
            'echo 1..3; echo ok 1 - a; echo why; echo not ok 2 - b;'
            'echo "ok 3 - c # SKIP no disk"; exit 1'), (1, 1, 1))
        self.assertEqual(self.report.failed, ['it b'])
        self.assertEqual(self.report.skipped, [('it c', 'no disk')])
        self.assertIn('| why', self.output)

    def test_program_that_dies_in_the_middle(self):
        self.assertEqual(self.tap('echo 1..2; echo ok 1; kill -SEGV $$'),
                         (1, 1, 0))
        self.assertIn('after 1 of 2', self.report.failed[0])

    def test_program_that_runs_no_test(self):
        self.assertEqual(self.tap('true'), (0, 1, 0))

    def test_status_without_a_failed_test(self):
        self.assertEqual(self.tap('echo ok 1; echo 1..1; exit 3'), (1, 1, 0))

    def test_program_that_hangs_with_its_children(self):
        self.assertEqual(self.tap('echo 1..2; echo ok 1; sleep 300 & wait',
                                  limit_s=1), (1, 1, 0))
        self.assertIn('took too long', self.report.failed[0])

    def summary(self):
        with redirect_stdout(io.StringIO()) as output:
            status = self.report.summary(61)
        return status, output.getvalue().splitlines()

    def test_closing_line(self):
        self.tap('echo ok 1; echo 1..1')
        status, lines = self.summary()
        self.assertEqual((status, lines[-1]), (0, '1 passed, 0 failed'))
        self.tap('echo "not ok 1 - x"; echo "ok 2 - y # SKIP z"')
        status, lines = self.summary()
        self.assertEqual((status, lines[-1]),
                         (1, '1 passed, 1 failed, 1 skipped'))
        self.assertIn('failed:  it x', lines)
        self.assertIn('skipped: it y: z', lines)

    def test_nothing_that_ran_is_no_success(self):
        self.assertEqual(self.summary()[0], 1)


if __name__ == '__main__':
    unittest.main()
