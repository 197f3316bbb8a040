#!/usr/bin/python3
"""Builds the Linux guest of the demo and the tests from Debian's packages.

Result: a directory with vmlinuz, initramfs.cpio and versions.txt, whose path
is the only line on standard output.  It is kept in the cache and built again
only when a package's version or a file of this directory changed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from cpio import Archive  # noqa: E402
from packages import Apt, PackageError, say, unpack  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
META = 'linux-image-cloud-amd64'
MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4']
# Loaded when the kernel's parameter ft.load names them.
MORE_MODULES = ['ata_piix', 'sd_mod', 'sr_mod', 'virtio_scsi', 'virtio_rng',
                'virtio_console', 'serio_raw', 'virtio_balloon']
PROGRAMS = ['usr/bin/redis-server', 'usr/bin/redis-cli']
LIBRARY_DIRS = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib64',
                'usr/lib64']
LOADER = 'lib64/ld-linux-x86-64.so.2'


def cache_dir():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'qemu-ft', 'guest')


def package_names(apt):
    """The kernel's package is named by the meta package's dependency."""
    def wanted(name):
        return name.startswith(('lib', 'redis', 'linux-image-'))

    names = apt.closure([META, 'busybox-static', 'redis-server'], wanted)
    return sorted(name for name in names if name != META)


def fingerprint(versions):
    digest = hashlib.sha256(repr(versions).encode())
    for name in sorted(os.listdir(HERE)):
        if os.path.isfile(os.path.join(HERE, name)):
            with open(os.path.join(HERE, name), 'rb') as file:
                digest.update(file.read())
    return digest.hexdigest()[:16]


def read(path):
    with open(path, 'rb') as file:
        return file.read()


class Modules:
    """The kernel's modules by name, with '-' read as '_'."""

    def __init__(self, root):
        self._paths = {}
        tops = glob.glob(f'{root}/**/lib/modules/*', recursive=True)
        tops += glob.glob(f'{root}/lib/modules/*')
        for path in glob.glob(f'{tops[0]}/kernel/**/*.ko*', recursive=True):
            self._paths[self._name(path)] = path
        with open(f'{tops[0]}/modules.builtin', encoding='ascii') as file:
            self._builtin = {self._name(line.strip()) for line in file}

    @staticmethod
    def _name(path):
        return os.path.basename(path).split('.ko')[0].replace('-', '_')

    def _data(self, name):
        path = self._paths[name]
        data = read(path)
        return lzma.decompress(data) if path.endswith('.xz') else data

    def load_order(self, names):
        """[(name, bytes)], each after what it depends on."""
        order = {}

        def visit(name):
            if name in order or name in self._builtin:
                return
            if name not in self._paths:
                raise PackageError(f'the kernel has no module {name}')
            data = self._data(name)
            match = re.search(rb'\0depends=([^\0]*)\0', data)
            for dep in (match.group(1).decode() if match else '').split(','):
                if dep:
                    visit(dep.replace('-', '_'))
            order[name] = data

        for name in names:
            visit(name)
        return list(order.items())


def find_library(root, soname):
    for where in LIBRARY_DIRS:
        path = os.path.join(root, where, soname)
        if os.path.exists(path):
            return path
    raise PackageError(f'no package has the library {soname}')


def needed(path):
    done = subprocess.run(['readelf', '-d', path], text=True, check=True,
                          capture_output=True)
    return re.findall(r'\(NEEDED\).*\[(.*)\]', done.stdout)


def add_programs(archive, root):
    """The programs and every library that they need."""
    todo, libraries = [], {}
    for name in PROGRAMS:
        path = os.path.realpath(os.path.join(root, name))
        archive.file(name.replace('usr/', ''), read(path), 0o755)
        todo += needed(path)
    while todo:
        soname = todo.pop()
        if soname not in libraries and not soname.startswith('ld-linux'):
            libraries[soname] = find_library(root, soname)
            todo += needed(libraries[soname])
    for soname, path in sorted(libraries.items()):
        archive.file(f'lib/x86_64-linux-gnu/{soname}', read(path), 0o755)
    archive.file(LOADER, read(find_library(root, os.path.basename(LOADER))),
                 0o755)


def add_modules(archive, modules):
    """Those loaded at the start, and those that a test asks for."""
    def add_list(path, names):
        order = modules.load_order(names)
        files.update((f'{name}.ko', data) for name, data in order)
        archive.file(path, ''.join(f'{name}.ko\n'
                                   for name, _ in order).encode())

    files = {}
    add_list('etc/modules', MODULES)
    for name in MORE_MODULES:
        add_list(f'etc/modules-{name}', [name])
    for name, data in files.items():
        archive.file(f'lib/modules/{name}', data)


def make_initramfs(root):
    archive = Archive()
    for name in ('dev', 'proc', 'sys', 'data', 'tmp', 'etc', 'lib/modules'):
        archive.directory(name)
    archive.char_device('dev/console', 5, 1)
    archive.file('init', read(os.path.join(HERE, 'init')), 0o755)
    archive.file('etc/udhcpc', read(os.path.join(HERE, 'udhcpc')), 0o755)
    busybox = [path for path in (f'{root}/bin/busybox',
                                 f'{root}/usr/bin/busybox')
               if os.path.exists(path)]
    archive.file('bin/busybox', read(busybox[0]), 0o755)
    archive.file('work', read(os.path.join(HERE, 'work')), 0o755)
    add_modules(archive, Modules(root))
    add_programs(archive, root)
    return archive.bytes()


def build(apt, names, versions, cache, result):
    paths = apt.download(names, os.path.join(cache, 'debs'))
    work = f'{result}.work'
    shutil.rmtree(work, ignore_errors=True)
    root = os.path.join(work, 'root')
    os.makedirs(root)
    say(f'unpacking {len(paths)} packages')
    unpack(paths, root)
    say('writing the initramfs')
    with open(os.path.join(work, 'initramfs.cpio'), 'wb') as file:
        file.write(make_initramfs(root))
    shutil.copy(glob.glob(f'{root}/boot/vmlinuz-*')[0],
                os.path.join(work, 'vmlinuz'))
    with open(os.path.join(work, 'versions.txt'), 'w',
              encoding='ascii') as file:
        file.writelines(f'{name} {version}\n' for name, version in versions)
    shutil.rmtree(root)
    os.rename(work, result)


def remove_old(cache, keep):
    """Images of earlier versions, once nobody can be starting from them."""
    for path in glob.glob(os.path.join(cache, 'image-*')):
        if path != keep and time.time() - os.path.getmtime(path) > 7 * 86400:
            shutil.rmtree(path, ignore_errors=True)


def main():
    for tool, package in (('apt-get', 'apt'), ('dpkg-deb', 'dpkg'),
                          ('readelf', 'binutils')):
        if not shutil.which(tool):
            raise PackageError(f'{tool} is missing: install {package} (the '
                               'guest is made of Debian\'s packages)')
    cache = cache_dir()
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, 'lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        apt = Apt(os.path.join(cache, 'apt'))
        names = package_names(apt)
        versions = [(name, apt.version(name)) for name in names]
        result = os.path.join(cache, f'image-{fingerprint(versions)}')
        if not os.path.isdir(result):
            start = time.monotonic()
            build(apt, names, versions, cache, result)
            say(f'built in {time.monotonic() - start:.0f} s: {result}')
            remove_old(cache, result)
    print(result)
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except PackageError as error:
        say(f'error: {error}')
        sys.exit(1)
