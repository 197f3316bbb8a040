"""What every file and folder of the repository has to have.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re
import unittest

from test_no_upstream import ROOT, repository_files

SOURCES = {'.c', '.h', '.S', '.py', '.sh', '.json', '.ld'}
SOURCE_NAMES = {'meson.build', 'Makefile', 'configure', 'run', 'trace-events',
                'init'}
FOLDERS = ('accel', 'hw', 'replay', 'migration', 'target', 'ft', 'hooks',
           'roms', 'tests', 'docs')
PARAGRAPH_CHARS_MIN = 80


def texts(suffixes=(), names=()):
    for path in repository_files():
        if path.is_file() and (path.suffix in suffixes or path.name in names):
            yield path, path.read_text()


class Repository(unittest.TestCase):
    def test_licence_of_every_source(self):
        for path, text in texts(SOURCES, SOURCE_NAMES):
            with self.subTest(str(path.relative_to(ROOT))):
                self.assertIn('SPDX-License-Identifier: GPL-2.0-or-later',
                              text)

    def test_each_folder_says_what_belongs_in_it(self):
        for folder in FOLDERS:
            with self.subTest(folder):
                text = (ROOT / folder / 'README.md').read_text()
                title, paragraph, *_ = text.split('\n\n')
                self.assertRegex(title, '^# ')
                self.assertGreater(len(paragraph), PARAGRAPH_CHARS_MIN)

    def test_links_lead_somewhere(self):
        for path, text in texts({'.md'}):
            for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text):
                with self.subTest(f'{path.relative_to(ROOT)}: {target}'):
                    self.assertTrue((path.parent / target).exists())

    def test_each_page_of_docs_is_listed(self):
        listed = (ROOT / 'docs' / 'README.md').read_text()
        for path, _ in texts({'.md'}):
            if path.parent == ROOT / 'docs' and path.name != 'README.md':
                with self.subTest(path.name):
                    self.assertIn(f']({path.name})', listed)

    def test_tests_that_are_named_exist(self):
        """As a function or a file of tests/; docs say what each shows."""
        known = {path.stem for path in repository_files()}
        for _, text in texts({'.py', '.c'}):
            known.update(re.findall(r'\b(test_\w+)\s*\(', text))
        for path, text in texts({'.md'}):
            for name in set(re.findall(r'\btest_\w+', text)):
                with self.subTest(f'{path.relative_to(ROOT)}: {name}'):
                    self.assertIn(name, known)


if __name__ == '__main__':
    unittest.main()
