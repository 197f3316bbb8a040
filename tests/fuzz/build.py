#!/usr/bin/python3
# Builds the fuzzers with clang, libFuzzer, ASan and UBSan, in BUILD/fuzz.
#
# fuzz-frames and fuzz-stream need the protocol core only.  fuzz-engine takes
# upstream's replay engine and ours from the build tree, and fuzz-disk a part
# of the disk guard, compiled with the flags that QEMU's build has for them; of
# the rest of QEMU they link libqemuutil.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FUZZERS = ['frames', 'stream', 'engine', 'disk']
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / 'hooks'))

from upstream import cache_directory  # noqa: E402

CCACHE = ['ccache'] if shutil.which('ccache') else []
ENVIRONMENT = dict(os.environ)
ENVIRONMENT.setdefault('CCACHE_DIR', str(cache_directory() / 'ccache'))

# Shifting negative numbers is what -fwrapv is for, and upstream does it.
SANITIZE = ['-fsanitize=fuzzer-no-link,address,undefined',
            '-fno-sanitize=shift,function,alignment',
            '-fno-sanitize-recover=undefined']
COMPILE = ['-g', '-O1', '-w', '-fno-omit-frame-pointer', *SANITIZE]
LINK = ['-fsanitize=fuzzer,address,undefined']

ENGINE = [f'replay/replay{part}.c' for part in (
    '', '-internal', '-events', '-time', '-input', '-char', '-net',
    '-random')] + ['accel/tcg/icount-common.c',
                   'accel/tcg/tcg-accel-ops-icount.c', 'ft/log.c']
HARNESS = ['fuzz-engine.c', 'fuzz-machine.c', 'fuzz-mutate.c']
# The harness has these itself: no threads, no sleeping, no event loop.
WRAPPED = ['qemu_bh_new_full', 'qemu_bh_schedule', 'aio_bh_call',
           'qemu_notify_event', 'ft_log_wait']


class BuildError(Exception):
    pass


def run(command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd,
                          env=ENVIRONMENT, text=True, stderr=subprocess.PIPE)
    if done.returncode:
        raise BuildError(f'{shlex.join(map(str, command))}\n{done.stderr}')


def compile_source(source, target, flags, cwd=None):
    """An object with the sanitizers; from the compiler cache if it can."""
    run([*CCACHE, 'clang', *COMPILE, *flags, '-c', source, '-o', target], cwd)
    return target


def pkg_config(*arguments):
    return shlex.split(subprocess.run(
        ['pkg-config', *arguments], check=True, text=True,
        stdout=subprocess.PIPE).stdout)


def build_core(name, out):
    """A fuzzer of what needs no QEMU."""
    sources = sorted(path for path in (ROOT / 'ft').glob('*.c')
                     if re.match(r'core|wire|lease|iscsi', path.name))
    flags = ['-I', ROOT, '-iquote', ROOT / 'ft',
             *pkg_config('--cflags', 'glib-2.0')]
    objects = [compile_source(source, out / f'{source.name}.o', flags)
               for source in [HERE / f'fuzz-{name}.c', *sources]]
    run(['clang', *LINK, *objects,
         *pkg_config('--libs', 'glib-2.0', 'zlib', 'libiscsi'),
         '-o', out / f'fuzz-{name}'])


def build_frames(out, build):
    build_core('frames', out)


def build_stream(out, build):
    build_core('stream', out)


def flags_of(command):
    """What of a compiler's command line finds headers and chooses C."""
    words, flags = iter(shlex.split(command)), []
    for word in words:
        if word in ('-isystem', '-iquote'):
            flags += [word, next(words)]
        elif word.startswith(('-I', '-D', '-m', '-std')):
            flags.append(word)
    return flags


def stubs_for(out, objects, link):
    """Functions nobody calls here, but the linker wants: each aborts."""
    done = subprocess.run(link, text=True, stderr=subprocess.PIPE)
    names = sorted(set(re.findall(r"undefined reference to `(\w+)'",
                                  done.stderr)))
    if done.returncode and not names:
        raise BuildError(done.stderr)
    source = out / 'missing.c'
    source.write_text('#include <stdio.h>\n#include <stdlib.h>\n' + ''.join(
        f'void {name}(void);\nvoid {name}(void)\n{{\n'
        f'    fputs("fuzz-machine.c has no {name}()\\n", stderr);\n'
        f'    abort();\n}}\n' for name in names))
    return source


def commands_of(qemu):
    """How QEMU's build compiles its sources."""
    return {
        str(Path(entry['file']).relative_to('../src')): entry['command']
        for entry in json.loads((qemu / 'compile_commands.json').read_text())
        if entry['file'].startswith('../src/')}


def engine_flags(commands):
    return ['-fwrapv', '-fno-strict-aliasing', '-fno-common',
            *flags_of(commands['replay/replay.c'])]


def libraries(qemu):
    return [str(qemu / 'libqemuutil.a'),
            *pkg_config('--libs', 'glib-2.0', 'gmodule-2.0', 'gnutls'),
            '-lm', '-lpthread']


def build_disk(out, build):
    qemu = build / 'qemu'
    flags = [*engine_flags(commands_of(qemu)), '-I', ROOT]
    sources = [build / 'src' / 'ft/disk-data.c',
               build / 'src' / 'replay/ft-entry.c',
               HERE / 'fuzz-disk.c', HERE / 'fuzz-mutate.c']
    objects = [compile_source(source, out / f'disk-{source.name}.o', flags,
                              qemu) for source in sources]
    run(['clang', *LINK, *objects, *libraries(qemu), '-o', out / 'fuzz-disk'])


def build_engine(out, build):
    qemu = build / 'qemu'
    commands = commands_of(qemu)
    ours = sorted(str(path.relative_to(ROOT))
                  for path in (ROOT / 'replay').glob('ft-*.c'))
    flags = engine_flags(commands)
    objects = []
    for source in ENGINE + ours:
        if source not in commands:
            continue                # not in this version
        target = compile_source(build / 'src' / source, out / (
            source.replace('/', '_') + '.o'), flags, qemu)
        run(['objcopy', '--rename-section', '.data=engine_data',
             '--rename-section', '.bss=engine_bss', target])
        objects.append(target)
    for source in HARNESS:
        objects.append(compile_source(
            HERE / source, out / f'{source}.o', [*flags, '-I', ROOT], qemu))
    wraps = [f'-Wl,--wrap={name}' for name in WRAPPED]
    end = [*libraries(qemu), '-o', str(out / 'fuzz-engine')]
    link = ['clang', *LINK, *wraps, *map(str, objects)]
    missing = stubs_for(out, objects, [*link, *end])
    run([*link, missing, *end])


BUILDERS = {'frames': build_frames, 'stream': build_stream,
            'engine': build_engine, 'disk': build_disk}


def build_fuzzer(name, build):
    out = build / 'fuzz'
    out.mkdir(parents=True, exist_ok=True)
    BUILDERS[name](out, build)
    return out / f'fuzz-{name}'


def main():
    parser = argparse.ArgumentParser(description='Builds the fuzzers.')
    parser.add_argument('--build-dir', default=str(ROOT / 'build'))
    parser.add_argument('fuzzers', nargs='*', help=', '.join(FUZZERS))
    args = parser.parse_args()
    if not shutil.which('clang'):
        sys.exit('fuzz: error: there is no clang; make deps installs it')
    try:
        for name in args.fuzzers or FUZZERS:
            print(build_fuzzer(name, Path(args.build_dir).resolve()))
    except BuildError as error:
        sys.exit(f'fuzz: error: {error}')


if __name__ == '__main__':
    main()
