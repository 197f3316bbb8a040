#!/usr/bin/python3
# Runs the unittest cases of one file and prints TAP.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import importlib.util
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True


class TapResult(unittest.TestResult):
    """One TAP line a test method, printed when it ends."""

    def __init__(self):
        super().__init__()
        self.number, self.problem, self.reason = 0, None, None

    def startTest(self, test):
        super().startTest(test)
        self.problem = self.reason = None

    def addError(self, test, err):
        super().addError(test, err)
        self.problem = self._exc_info_to_string(err, test)
        if not isinstance(test, unittest.TestCase):
            self.print_result(str(test))    # a class's or module's fixture

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.problem = self._exc_info_to_string(err, test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problem = 'succeeded, which was not expected'

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.reason = reason
        if not isinstance(test, unittest.TestCase):
            self.print_result(str(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.print_result(test._testMethodName)

    def print_result(self, name):
        self.number += 1
        for line in (self.problem or '').splitlines():
            print(f'# {line}')
        result = 'not ok' if self.problem else 'ok'
        skip = f' # SKIP {self.reason}' if self.reason is not None else ''
        print(f'{result} {self.number} - {name}{skip}', flush=True)


def main():
    path = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    if len(sys.argv) > 2:
        loader.testNamePatterns = [f'*{name}*' for name in sys.argv[2:]]
    result = TapResult()
    loader.loadTestsFromModule(module).run(result)
    print(f'1..{result.number}')
    return 0 if result.number and result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
