"""Debian packages, fetched by apt without touching the machine's state.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import subprocess
import sys


class PackageError(Exception):
    """Tells a person what to do next."""


def say(text):
    print(f'guest: {text}', file=sys.stderr, flush=True)


def _run(argv, cwd=None):
    env = dict(os.environ, LC_ALL='C')
    return subprocess.run(argv, cwd=cwd, env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)


class Apt:
    """apt, with the machine's package lists or, if those fail, own ones."""

    def __init__(self, state):
        self._state = state
        self._options = []
        self._records = {}

    def _use_own_lists(self):
        """Fresh lists in a directory of ours, from the machine's sources."""
        say('the machine\'s package lists do not do; fetching own ones')
        self._records = {}
        for sub in ('lists/partial', 'cache/archives/partial'):
            os.makedirs(os.path.join(self._state, sub), exist_ok=True)
        self._options = [
            '-o', f'Dir::State::Lists={self._state}/lists',
            '-o', f'Dir::Cache={self._state}/cache',
        ]
        if os.geteuid() == 0:
            self._options += ['-o', 'APT::Sandbox::User=root']
        done = _run(['apt-get', *self._options, '-q', 'update'])
        if done.returncode:
            raise PackageError(
                'apt-get update failed; is there a network and a Debian '
                f'mirror in /etc/apt?\n{done.stderr.strip()}')

    def _ask(self, names):
        """Records of the versions apt would install, by name."""
        done = _run(['apt-cache', *self._options, 'show', '--no-all-versions',
                     *names])
        records = {}
        for text in done.stdout.split('\n\n'):
            record = dict(re.findall(r'^([\w-]+): (.*)$', text, re.M))
            if 'Package' in record:
                records.setdefault(record['Package'], record)
        return records

    def _learn(self, names):
        unknown = [name for name in names if name not in self._records]
        if not unknown:
            return
        found = self._ask(unknown)
        if set(unknown) - set(found) and not self._options:
            self._use_own_lists()
            found = self._ask(unknown)
        if set(unknown) - set(found):
            raise PackageError('apt knows no package '
                               + ', '.join(set(unknown) - set(found)))
        self._records.update(found)

    def version(self, name):
        """The version apt would install."""
        self._learn([name])
        return self._records[name]['Version']

    def depends(self, name):
        """Names that name depends on; the first of alternatives."""
        self._learn([name])
        record = self._records[name]
        choices = ','.join(record.get(field, '')
                           for field in ('Pre-Depends', 'Depends'))
        return [re.split(r'[ (|:]', choice.strip())[0]
                for choice in choices.split(',') if choice.strip()]

    def closure(self, names, wanted):
        """names and what they depend on, through names that wanted() takes."""
        found, level = [], names
        while level:
            self._learn(level)
            found += level
            level = sorted({dep for name in level
                            for dep in self.depends(name)
                            if wanted(dep) and dep not in found})
        return found

    def download(self, names, where):
        """Fetches the packages' files into where; returns their paths."""
        os.makedirs(where, exist_ok=True)
        versions = {name: self.version(name) for name in names}
        missing = [name for name in names
                   if not _file_of(where, name, versions[name])]
        if missing:
            say(f'fetching {len(missing)} Debian packages')
            self._fetch(missing, where)
            versions = {name: self.version(name) for name in names}
        paths = [_file_of(where, name, versions[name]) for name in names]
        if None in paths:
            raise PackageError('apt-get download brought no file for '
                               f'{names[paths.index(None)]}')
        return paths

    def _fetch(self, names, where):
        sandbox = []
        if os.geteuid() == 0:
            # where need not be readable for apt's own user
            sandbox = ['-o', 'APT::Sandbox::User=root']
        argv = ['-q', *sandbox, 'download', *names]
        done = _run(['apt-get', *self._options, *argv], cwd=where)
        if done.returncode and not self._options:
            self._use_own_lists()
            done = _run(['apt-get', *self._options, *argv], cwd=where)
        if done.returncode:
            raise PackageError('apt-get download failed; check the network '
                               f'and run this again\n{done.stderr.strip()}')


def _file_of(where, name, version):
    prefix = f'{name}_{version.replace(":", "%3a")}_'
    for entry in os.listdir(where):
        if entry.startswith(prefix) and entry.endswith('.deb'):
            return os.path.join(where, entry)
    return None


def unpack(paths, root):
    for path in paths:
        done = _run(['dpkg-deb', '-x', path, root])
        if done.returncode:
            os.unlink(path)
            raise PackageError(f'{path} was damaged and is removed: run this '
                               f'again\n{done.stderr.strip()}')
