#!/usr/bin/python3
# Gets upstream QEMU: Debian's source package, or a tree or tarball of the
# user's, and unpacks it.
#
# Purpose: apt verifies the archive's signature and the files' digests; this
#   file gives apt lists, state and a cache of its own, so that the machine's
#   apt configuration stays as it is and needs no deb-src line.
# State: everything downloaded stays in cache_directory(); a digest beside it
#   lets later runs, and clean clones, work without a network.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SERIES = '10.0'
KEYRING = Path('/usr/share/keyrings/debian-archive-keyring.gpg')
MIRROR = 'http://deb.debian.org/debian'
SUITES = (('', 'trixie'), ('', 'trixie-updates'),
          ('-security', 'trixie-security'), ('', 'bookworm-backports'))
VERIFIED = '.verified'      # suffix of a file that holds 'digest  name' lines


class UpstreamError(Exception):
    """What is wrong, with the next step."""


class NotOffered(UpstreamError):
    """The archive does not have this version any more."""


def cache_directory():
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    path = Path(base) / 'qemu-ft'
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UpstreamError(
            f"can't make {path} ({error.strerror}); set XDG_CACHE_HOME to a "
            'directory that you may write to') from error
    return path


def file_digest(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def version_key(version):
    return functools.cmp_to_key(
        lambda a, b: -1 if subprocess.run(
            ['dpkg', '--compare-versions', a, 'lt', b]).returncode == 0
        else 1)(version)


class Debian:
    """Debian's archive, through apt, with private lists and state."""

    def __init__(self, mirror=MIRROR):
        self.mirror = mirror.rstrip('/')
        self.cache = cache_directory()
        self.apt = self.cache / 'apt'
        self.files = self.cache / 'debian'
        self.updated = False

    def prepare(self):
        for tool, package in (('apt-get', 'apt'), ('dpkg-source', 'dpkg-dev')):
            if not shutil.which(tool):
                raise UpstreamError(
                    f'{tool} is missing; install the package {package} (on '
                    'Debian: make deps), or pass --qemu-source=PATH')
        if not KEYRING.is_file():
            raise UpstreamError(
                f'{KEYRING} is missing; install the package '
                'debian-archive-keyring (make deps), or pass '
                '--qemu-source=PATH')
        for directory in (self.apt / 'lists' / 'partial', self.files,
                          self.apt / 'cache' / 'archives' / 'partial'):
            directory.mkdir(parents=True, exist_ok=True)
        (self.apt / 'sources.list').write_text(''.join(
            f'deb-src [signed-by={KEYRING}] {self.mirror}{suffix} {suite} '
            'main\n' for suffix, suite in SUITES))
        # What the machine runs after its own updates is not for this one.
        (self.apt / 'apt.conf').write_text(
            '#clear APT::Update::Post-Invoke;\n'
            '#clear APT::Update::Post-Invoke-Success;\n')

    def run(self, tool, *args, cwd=None, quiet=True):
        command = [
            tool, '-c', str(self.apt / 'apt.conf'),
            '-o', f'Dir::Etc::sourcelist={self.apt}/sources.list',
            '-o', 'Dir::Etc::sourceparts=-',
            '-o', 'Dir::Etc::preferencesparts=-',
            '-o', f'Dir::State={self.apt}',
            '-o', 'Dir::State::status=/var/lib/dpkg/status',
            '-o', f'Dir::Cache={self.apt}/cache',
            '-o', 'APT::Sandbox::User=',
            '-o', 'Acquire::Languages=none',
            '-o', 'Acquire::Retries=2',
            '-o', 'APT::Update::Error-Mode=any', *args]
        return subprocess.run(
            command, cwd=cwd, text=True, errors='replace',
            env=dict(os.environ, LC_ALL='C.UTF-8'),
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None)

    def update(self):
        if self.updated:
            return
        self.prepare()
        print(f'  asking {self.mirror} for its source packages', flush=True)
        done = self.run('apt-get', '-q', 'update')
        if done.returncode:
            raise UpstreamError(self.explain(done.stdout))
        self.updated = True

    def explain(self, log):
        """apt's errors, and what to do about the likely ones."""
        lines = [line for line in log.splitlines()
                 if re.match(r'(E|W|Err):', line)][:6]
        text = '\n'.join(f'  {line}' for line in lines) or log[-600:]
        if re.search(r'NO_PUBKEY|not signed|GPG error|EXPKEYSIG', log):
            step = (f'the keys in {KEYRING} are too old for trixie: install '
                    'the newest debian-archive-keyring (apt-get install '
                    '--only-upgrade debian-archive-keyring)')
        elif re.search(r'Could not (resolve|connect)|Temporary failure|'
                       r'Unable to connect|timed out|unreachable|'
                       r'onnection failed|Connection refused', log):
            step = ('there is no way to the archive from here: check the '
                    'network and proxy, or pass --mirror=URL')
        elif 'No space left' in log:
            step = f'make room in {self.cache}, or set XDG_CACHE_HOME'
        else:
            step = 'run it again: a finished part is not downloaded again'
        return (f"apt couldn't get QEMU's source:\n{text}\n{step}; or pass "
                '--qemu-source=PATH with a tree or tarball of QEMU '
                f'{SERIES}.x')

    def versions(self):
        """Debian versions of QEMU 10.0.x, newest first."""
        self.update()
        done = self.run('apt-cache', 'showsrc', '--only-source', 'qemu')
        found = set(re.findall(rf'^Version: (\S*\b{re.escape(SERIES)}\.\S+)$',
                               done.stdout, re.M))
        if not found:
            raise NotOffered(
                f'{self.mirror} offers no QEMU {SERIES}.x any more; pass '
                f'--qemu-source=PATH with a tree or tarball of {SERIES}.x')
        return sorted(found, key=version_key, reverse=True)

    def remembered(self, name):
        """A file downloaded earlier, if it and its companions are whole."""
        note = self.files / (name + VERIFIED)
        if not note.is_file():
            return None
        first = None
        for line in note.read_text().splitlines():
            digest, _, file = line.partition('  ')
            path = self.files / file
            if not path.is_file() or file_digest(path) != digest:
                return None
            first = first or path
        return first

    def remember(self, name, paths):
        (self.files / (name + VERIFIED)).write_text(''.join(
            f'{file_digest(path)}  {path.name}\n' for path in paths))

    def download(self, version, tar_only=False):
        print(f'  downloading qemu {version} (40 MB) to {self.files}',
              flush=True)
        before = ['--tar-only'] if tar_only else []
        done = self.run('apt-get', '-q', 'source', '--download-only', *before,
                        f'qemu={version}', cwd=self.files)
        if done.returncode:
            raise UpstreamError(self.explain(done.stdout))

    def current(self, refresh=False):
        """The .dsc of the newest 10.0.x; without a network when known."""
        known = None if refresh else self.remembered('current')
        if known:
            return known
        error = None
        for version in self.versions():
            try:
                self.download(version)
            except UpstreamError as this:
                # A suite may list what its pool no longer has.
                error = error or this
                continue
            plain = version.split(':')[-1]
            dsc = self.files / f'qemu_{plain}.dsc'
            listed = re.findall(r'^ [0-9a-f]{64} \d+ (\S+)$',
                                dsc.read_text(), re.M)
            self.remember('current', [dsc, *(self.files / name
                                             for name in listed)])
            return dsc
        raise error

    def tarball(self, upstream_version):
        """The original tarball of one 10.0.x, without Debian's patches."""
        known = self.remembered(upstream_version)
        if known:
            return known
        error = None
        for version in self.versions():
            if not version.split(':')[-1].startswith(upstream_version + '+'):
                continue
            try:
                self.download(version, tar_only=True)
            except UpstreamError as this:
                error = this
                continue
            found = sorted(self.files.glob(
                f'qemu_{upstream_version}+*.orig.tar.*'))
            self.remember(upstream_version, found[:1])
            return found[0]
        raise error or NotOffered(
            f'{self.mirror} offers no QEMU {upstream_version} any more; '
            'choose another version to test against')


def tree_version(tree):
    path = Path(tree) / 'VERSION'
    version = path.read_text().strip() if path.is_file() else None
    if version is None or not (Path(tree) / 'qemu-options.hx').is_file():
        raise UpstreamError(
            f"'{tree}' holds no QEMU source tree (no VERSION and "
            'qemu-options.hx at its top); check --qemu-source')
    if not re.fullmatch(re.escape(SERIES) + r'\.\d+', version):
        raise UpstreamError(
            f"'{tree}' is QEMU {version}; this fork knows {SERIES}.x only: "
            f'pass --qemu-source=PATH with a {SERIES}.x, or leave the option '
            'out to have Debian\'s')
    return version


def remove_tree(path):
    if Path(path).exists():
        shutil.rmtree(path)


def unpack_tar(origin, target):
    with tarfile.open(origin) as tar:
        tops = {name.split('/')[0] for name in
                (member.name for member in tar) if name}
    if len(tops) != 1:
        raise UpstreamError(f"'{origin}' has {len(tops)} entries at its top; "
                            'a QEMU tarball has one directory there')
    target.mkdir()
    done = subprocess.run(['tar', '-xf', origin, '-C', target,
                           '--strip-components=1', '--no-same-owner'])
    if done.returncode:
        raise UpstreamError(f"tar couldn't unpack '{origin}'; see above")


def unpack(origin, target):
    """Unpacks a .dsc, a tarball or a tree's copy; whole or not at all."""
    origin, target = Path(origin), Path(target)
    fresh = target.with_name(target.name + '.new')
    remove_tree(fresh)
    if not origin.exists():
        raise UpstreamError(f"'{origin}' does not exist; check --qemu-source")
    if origin.is_dir():
        tree_version(origin)
        skip = shutil.ignore_patterns('.git', '.ft-*')
        builds = {path.parent for path in origin.glob('*/config-host.mak')}

        def ignore(directory, names):
            return skip(directory, names) | {
                name for name in names if Path(directory) / name in builds}
        shutil.copytree(origin, fresh, symlinks=True, ignore=ignore)
    elif origin.suffix == '.dsc':
        if not shutil.which('dpkg-source'):
            raise UpstreamError('dpkg-source is missing; install dpkg-dev '
                                '(make deps)')
        done = subprocess.run(
            ['dpkg-source', '--no-check', '-x', origin, fresh],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise UpstreamError(
                f"dpkg-source couldn't unpack '{origin}':\n"
                f'{done.stdout[-800:]}\nremove the damaged file and run '
                'again')
    elif tarfile.is_tarfile(origin):
        unpack_tar(origin, fresh)
    else:
        raise UpstreamError(
            f"'{origin}' is no QEMU tree, no tarball and no .dsc; check "
            '--qemu-source')
    version = tree_version(fresh)
    remove_tree(target)
    fresh.rename(target)
    return version


def main():
    if len(sys.argv) != 3:
        print('usage: hooks/upstream.py current|VERSION DIR\n'
              'Unpacks the newest QEMU 10.0.x that Debian has, or the tarball '
              'of one VERSION, as DIR.', file=sys.stderr)
        return 2
    version, target = sys.argv[1], Path(sys.argv[2])
    try:
        if target.exists():
            raise UpstreamError(f"'{target}' exists; name a new directory")
        debian = Debian()
        origin = debian.current() if version == 'current' \
            else debian.tarball(version)
        print(f'QEMU {unpack(origin, target)} is in {target}')
    except UpstreamError as error:
        print(f'upstream: error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
