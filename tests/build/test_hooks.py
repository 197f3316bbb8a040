"""The hook tool: it only adds, at exactly one place, or says why not.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import io
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get('FT_BUILD', ROOT / 'build'))
sys.path.insert(0, str(ROOT / 'hooks'))

import hooks        # noqa: E402
import upstream     # noqa: E402

OTHER_VERSION = '10.0.2'

ENGINE = '''\
#include "engine.h"

int prototype(int a);
static int counter;

static void
split_type(void)
{
    counter = 0;
}

int prototype(int a)
{
    return a;
}

static int long_list(const char *name,
                     int (*call)(void *opaque),
                     void *opaque)
{
    if (name) {
        counter++;
    }
    counter++;
    return call(opaque);
}
'''

OPTIONS = '{ "enum": [\n  "one",\n  "two"\n] }\n'


class HookCase(unittest.TestCase):
    """A small tree and hooks written by the test."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.source = Path(directory.name) / 'qemu'
        self.hooks = Path(directory.name) / 'hooks'
        self.hooks.mkdir()
        (self.source / 'sub').mkdir(parents=True)
        (self.source / 'VERSION').write_text('10.0.99\n')
        self.engine = self.source / 'sub' / 'engine.c'
        self.engine.write_text(ENGINE)
        (self.source / 'options.json').write_text(OPTIONS)

    def write(self, text, name='engine.hook', file='sub/engine.c'):
        (self.hooks / name).write_text(f'file: {file}\n{text}')

    def run_tool(self, *args):
        """(exit status, output) of the tool as a person runs it."""
        done = subprocess.run(
            [ROOT / 'hooks' / 'hooks.py', f'--hooks={self.hooks}', *args],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def tool(self, command, *args):
        return self.run_tool(command, f'--source={self.source}', *args)

    def record_and_apply(self):
        status, output = self.tool('record')
        self.assertEqual(status, 0, output)
        status, output = self.tool('apply')
        self.assertEqual(status, 0, output)

    def assert_refused(self, *words, command='apply'):
        """Nothing is edited, and the message names what it must."""
        status, output = self.tool(command)
        self.assertEqual(status, 1, output)
        for word in words:
            self.assertIn(word, output)
        self.assertEqual(self.engine.read_text(), ENGINE)


def hook(at, anchor, added, side='after', why='a test needs it'):
    anchors = [anchor] if isinstance(anchor, str) else anchor
    return f'at: {at}\n' + ''.join(f'{side}: {text}\n' for text in anchors) \
        + f'why: {why}\n' + ''.join(f'+{line}\n' for line in added) + '\n'


class Apply(HookCase):
    def test_inserts_before_and_after_in_the_right_function(self):
        self.write(hook('prototype', 'return a;', ['    call();'], 'before')
                   + hook('long_list', 'return call(opaque);', ['/* b */']))
        self.record_and_apply()
        self.assertEqual(
            self.engine.read_text(),
            ENGINE.replace('    return a;', '    call();\n    return a;')
            .replace('    return call(opaque);',
                     '    return call(opaque);\n/* b */'))

    def test_finds_a_function_whose_type_stands_above_it(self):
        self.write(hook('split_type', 'counter = 0;', ['    x();']))
        self.record_and_apply()
        self.assertIn('    counter = 0;\n    x();\n}',
                      self.engine.read_text())

    def test_file_scope_and_other_kinds_of_files(self):
        self.write(hook('-', '"two"', ['  "ft",'], 'before'),
                   'options.hook', 'options.json')
        self.record_and_apply()
        self.assertEqual((self.source / 'options.json').read_text(),
                         OPTIONS.replace('  "two"', '  "ft",\n  "two"'))

    def test_several_anchor_lines(self):
        self.write(hook('long_list', ['}', 'counter++;'], ['    y();']))
        self.record_and_apply()
        self.assertIn('    }\n    counter++;\n    y();\n',
                      self.engine.read_text())

    def test_order_of_hooks_at_one_place(self):
        self.write(hook('prototype', 'return a;', ['1;'], 'before')
                   + hook('prototype', 'return a;', ['2;'], 'before'))
        self.record_and_apply()
        self.assertIn('{\n1;\n2;\n    return a;', self.engine.read_text())

    def test_again_changes_nothing(self):
        self.write(hook('prototype', 'return a;', ['    z();'], 'before'))
        self.record_and_apply()
        os.utime(self.engine, (1, 1))
        text = self.engine.read_text()
        status, output = self.tool('apply')
        self.assertEqual(status, 0, output)
        self.assertIn('0 files changed', output)
        self.assertEqual(self.engine.read_text(), text)
        self.assertEqual(self.engine.stat().st_mtime, 1)

    def test_changed_and_removed_hooks(self):
        self.write(hook('prototype', 'return a;', ['old();'], 'before'))
        self.write(hook('-', '"two"', ['  "ft",'], 'before'),
                   'options.hook', 'options.json')
        self.record_and_apply()
        os.utime(self.source / 'options.json', (1, 1))
        self.write(hook('prototype', 'return a;', ['new();'], 'before'))
        self.record_and_apply()
        self.assertIn('new();', self.engine.read_text())
        self.assertNotIn('old();', self.engine.read_text())
        self.assertEqual((self.source / 'options.json').stat().st_mtime, 1)
        (self.hooks / 'engine.hook').unlink()
        self.record_and_apply()
        self.assertEqual(self.engine.read_text(), ENGINE)

    def test_takes_up_an_interrupted_run(self):
        self.write(hook('prototype', 'return a;', ['new();'], 'before'))
        self.tool('record')
        # As left after the pristine copy, before the edit was noted.
        kept = self.source / hooks.PRISTINE / 'sub'
        kept.mkdir(parents=True)
        (kept / 'engine.c').write_text(ENGINE)
        self.engine.write_text('half')
        self.record_and_apply()
        self.assertEqual(self.engine.read_text(), ENGINE.replace(
            '    return a;', 'new();\n    return a;'))

    def test_edit_by_hand_is_not_lost(self):
        self.write(hook('prototype', 'return a;', ['new();'], 'before'))
        self.record_and_apply()
        edited = self.engine.read_text() + '/* by hand */\n'
        self.engine.write_text(edited)
        status, output = self.tool('apply')
        self.assertEqual(status, 1, output)
        self.assertIn('sub/engine.c', output)
        self.assertIn('--force', output)
        self.assertEqual(self.engine.read_text(), edited)
        self.assertEqual(self.tool('apply', '--force')[0], 0)
        self.assertNotIn('by hand', self.engine.read_text())

    def test_diff_only_adds(self):
        self.write(hook('prototype', 'return a;', ['new();'], 'before'))
        status, output = self.tool('diff')
        self.assertEqual(status, 0)
        changes = [line for line in output.splitlines()
                   if line[:1] in '+-' and line[:3] not in ('+++', '---')]
        self.assertEqual(changes, ['+new();'])


class Refuse(HookCase):
    def test_one_bad_hook_stops_all(self):
        self.write(hook('prototype', 'return a;', ['x;'], 'before')
                   + hook('long_list', 'no such line', ['y;']))
        self.assert_refused('engine.hook:7', 'sub/engine.c', 'long_list()',
                            "'no such line'", 'choose another anchor')

    def test_anchor_that_matches_twice(self):
        self.write(hook('long_list', 'counter++;', ['x;']))
        self.assert_refused('2 times', 'make it longer')

    def test_missing_function(self):
        self.write(hook('gone', 'x', ['x;']))
        self.assert_refused('no function gone()', "set 'at:'")

    def test_missing_file(self):
        self.write(hook('prototype', 'x', ['x;']), file='sub/gone.c')
        self.assert_refused('has no file sub/gone.c', "set 'file:'")

    def test_without_digest(self):
        self.write(hook('prototype', 'return a;', ['x;']))
        self.assert_refused('engine.hook', 'hooks/hooks.py record')

    def test_function_that_changed_upstream(self):
        self.write(hook('prototype', 'return a;', ['x;']))
        self.tool('record')
        changed = ENGINE.replace('    return a;', '    a++;\n    return a;')
        self.engine.write_text(changed)
        status, output = self.tool('check')
        self.assertEqual(status, 1)
        self.assertIn('prototype()', output)
        self.assertIn('not what it was', output)

    def test_two_versions_are_recorded_side_by_side(self):
        self.write(hook('prototype', 'return a;', ['x;']))
        self.tool('record')
        self.engine.write_text(ENGINE.replace('return a;', 'return a; //'))
        self.tool('record')
        self.assertEqual(self.tool('check')[0], 0)
        self.engine.write_text(ENGINE)
        self.assertEqual(self.tool('check')[0], 0)
        self.tool('record', '--replace')
        self.engine.write_text(ENGINE.replace('return a;', 'return a; //'))
        self.assertEqual(self.tool('check')[0], 1)

    def test_hook_files_with_mistakes(self):
        good = hook('prototype', 'return a;', ['x;'])
        for text, word in (
                (good.replace('why: ', 'whi: '), "unknown key 'whi'"),
                (good.replace('why: a test needs it\n', ''), "no 'why:'"),
                (good.replace('+x;\n', ''), 'no lines to add'),
                (good.replace('+x;', 'x;'), "begin with '+'"),
                (good.replace('after', 'before', 1) + 'after: x\n',
                 "both 'after:' and 'before:'")):
            with self.subTest(word):
                self.write(text)
                self.assert_refused('engine.hook:', word)

    def test_tree_that_is_none(self):
        (self.source / 'VERSION').unlink()
        self.assert_refused('no QEMU source tree')

    def test_more_lines_than_the_limit(self):
        self.write(hook('prototype', 'return a;',
                        ['x;'] * (hooks.ADDED_LINES_MAX + 1)))
        status, output = self.run_tool('count')
        self.assertEqual(status, 1)
        self.assertIn('file of this project', output)


class Ours(unittest.TestCase):
    """The hooks of this repository."""

    def test_under_the_limit(self):
        with redirect_stdout(io.StringIO()):
            hooks.command_count(hooks.load_hooks(ROOT / 'hooks'))

    def check(self, source):
        with redirect_stdout(io.StringIO()) as output:
            hooks.command_check(hooks.Tree(source),
                                hooks.load_hooks(ROOT / 'hooks'), None)
        self.assertIn(' fit ', output.getvalue())

    def test_fit_the_version_that_is_built(self):
        self.check(BUILD / 'src')

    def test_fit_another_version(self):
        try:
            tarball = upstream.Debian().tarball(OTHER_VERSION)
        except upstream.NotOffered as error:
            self.skipTest(str(error))
        files = {entry.file for entry in hooks.load_hooks(ROOT / 'hooks')}
        with tempfile.TemporaryDirectory() as directory:
            # A file that this version lacks is reported by the check.
            subprocess.run(
                ['tar', '-xf', tarball, '-C', directory,
                 '--strip-components=1', '--wildcards',
                 *(f'*/{file}' for file in ('VERSION', *files))],
                stderr=subprocess.DEVNULL)
            tree = Path(directory)
            self.assertEqual((tree / 'VERSION').read_text().strip(),
                             OTHER_VERSION)
            self.check(tree)


if __name__ == '__main__':
    unittest.main()
