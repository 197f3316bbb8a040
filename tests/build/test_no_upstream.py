"""No file of this repository holds a run of upstream's lines.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(os.environ.get('FT_BUILD', ROOT / 'build')) / 'src'
sys.path.insert(0, str(ROOT / 'hooks'))

import hooks        # noqa: E402

# That many consecutive lines that say something are no accident.  Assembly
# is not among code: loading segment registers has only one wording.
RUN_CODE, RUN_OTHER = 5, 8
CODE = {'.c', '.h', '.inc'}
TEXT_BYTES_MAX = 2_000_000
# Lines that anybody writes: includes, licence tags, and what has fewer
# letters or digits than this.
TELLING_CHARS = 5
COMMON = re.compile(r'#\s*include|#\s*endif|import |from |.*SPDX-License|'
                    r'.*This work is licensed under|break;|return( 0)?;')


def telling_lines(text):
    """(line number, normalised line) of the lines that say something."""
    for number, line in enumerate(text.split('\n'), 1):
        line = ' '.join(line.split())
        if len(re.sub(r'\W', '', line)) >= TELLING_CHARS \
                and not COMMON.match(line):
            yield number, line


def read_text(path):
    if path.is_symlink() or not path.is_file() \
            or path.stat().st_size > TEXT_BYTES_MAX:
        return None
    data = path.read_bytes()
    return None if b'\0' in data else data.decode(errors='replace')


def own_text(path):
    """A file of this repository; of a hook, only the lines it adds."""
    text = read_text(path)
    if text is not None and path.suffix == '.hook':
        return '\n'.join(line[1:] if line.startswith('+') else ''
                         for line in text.split('\n'))
    return text


def own_runs(paths):
    """Each run of lines -> where it stands."""
    runs = {}
    for path in paths:
        text = own_text(path)
        if text is None:
            continue
        size = RUN_CODE if path.suffix in CODE | {'.hook'} else RUN_OTHER
        lines = list(telling_lines(text))
        for i in range(len(lines) - size + 1):
            run = tuple(line for _, line in lines[i:i + size])
            runs.setdefault(run, f'{path}:{lines[i][0]}')
    return runs


def find_runs(runs, upstream_paths):
    """Where upstream's files hold one of these runs."""
    sizes = {len(run) for run in runs}
    starts = {run[0] for run in runs}
    found = []
    for path in upstream_paths:
        text = read_text(path)
        # Most files have no such line at all; that is quick to see.
        if text is None or starts.isdisjoint(
                {' '.join(line.split()) for line in text.split('\n')}):
            continue
        numbered = list(telling_lines(text))
        lines = [line for _, line in numbered]
        for i, line in enumerate(lines):
            if line not in starts:
                continue
            for size in sizes:
                where = runs.get(tuple(lines[i:i + size]))
                if where:
                    found.append(f'{where} is {path}:{numbered[i][0]}: '
                                 f'{line}')
    return found


def repository_files():
    names = subprocess.run(
        ['git', '-C', ROOT, 'ls-files', '-z', '--cached', '--others',
         '--exclude-standard'], check=True, stdout=subprocess.PIPE,
        text=True).stdout.split('\0')
    return [ROOT / name for name in names if name]


def upstream_files(source):
    """Upstream's own text: pristine copies for what hooks edited."""
    tree = hooks.Tree(source)
    for directory, names, files in os.walk(source):
        base = Path(directory)
        if base == source and hooks.PRISTINE in names:
            names.remove(hooks.PRISTINE)
        for name in files:
            path = base / name
            if str(path.relative_to(source)) in tree.applied:
                path = tree.kept / path.relative_to(source)
            yield path


class NoUpstream(unittest.TestCase):
    def test_no_file_holds_a_run_of_upstream(self):
        paths = repository_files()
        self.assertGreater(len(paths), 20)
        runs = own_runs(paths)
        files = list(upstream_files(SOURCE))
        self.assertGreater(len(files), 5000, f'{SOURCE} is no QEMU tree')
        found = find_runs(runs, files)
        if found:
            self.fail('write these anew, or call what upstream has:\n'
                      + '\n'.join(found[:20]))

    def test_hooks_only_add(self):
        done = subprocess.run(
            [ROOT / 'hooks' / 'hooks.py', 'diff', f'--source={SOURCE}'],
            check=True, stdout=subprocess.PIPE, text=True)
        removed = [line for line in done.stdout.splitlines()
                   if line.startswith('-') and not line.startswith('---')]
        self.assertEqual(removed, [])
        self.assertIn('\n+', done.stdout)


class TheCheckItself(unittest.TestCase):
    """A run that is planted is found, however it is indented."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.planted = Path(directory.name)
        self.upstream = SOURCE / 'replay' / 'replay-char.c'
        self.lines = [line for line in self.upstream.read_text().split('\n')]
        telling = list(telling_lines(self.upstream.read_text()))
        self.start, self.telling = telling[20][0], telling[20:]

    def plant(self, name, count, mark=''):
        """So many telling lines of upstream's, between lines of our own."""
        end = self.telling[count - 1][0]
        text = '\n'.join(f'{mark}\t {line}  '
                         for line in self.lines[self.start - 1:end])
        path = self.planted / name
        path.write_text(f'our own line one\n{text}\nour own line two\n')
        return path

    def found(self, path):
        return find_runs(own_runs([path]), [self.upstream])

    def test_run_in_code(self):
        self.assertTrue(self.found(self.plant('a.c', RUN_CODE)))

    def test_run_in_a_hook(self):
        self.assertTrue(self.found(self.plant('a.hook', RUN_CODE, '+')))

    def test_run_in_a_text(self):
        self.assertTrue(self.found(self.plant('a.md', RUN_OTHER)))

    def test_shorter_ones_are_not(self):
        self.assertEqual(self.found(self.plant('a.c', RUN_CODE - 1)), [])
        self.assertEqual(self.found(self.plant('a.md', RUN_OTHER - 1)), [])

    def test_hooked_files_are_read_without_their_hooks(self):
        applied = hooks.Tree(SOURCE).applied
        if not applied:
            self.skipTest('no hook is applied')
        read = {str(path) for path in upstream_files(SOURCE)}
        for name in applied:
            self.assertNotIn(str(SOURCE / name), read)
            self.assertIn(str(SOURCE / hooks.PRISTINE / name), read)


if __name__ == '__main__':
    unittest.main()
