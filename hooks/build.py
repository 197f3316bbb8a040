#!/usr/bin/python3
# Builds the fork: configures what is not configured yet, brings changes of
# this repository into the build tree, runs ninja and says how long it took.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True

from upstream import cache_directory    # noqa: E402

# What a user runs; the rest of upstream's targets only on demand.
PROGRAMS = ['qemu-system-x86_64', 'qemu-img', 'qemu-io']
PROGRESS_S = 10
JOBS = os.environ.get('JOBS') or str(len(os.sched_getaffinity(0)))


def compiler_cache(build):
    """A compiler cache outside the tree, shared by every clone."""
    environment = dict(os.environ)
    environment.setdefault('CCACHE_DIR', str(cache_directory() / 'ccache'))
    # Clones in different places compile the same files.
    environment.setdefault('CCACHE_BASEDIR', str(build))
    environment.setdefault('CCACHE_NOHASHDIR', '1')
    return environment


def run_ninja(qemu, targets):
    """One line now and then; everything when it fails."""
    command = ['ninja', '-C', str(qemu), '-j', JOBS, *targets]
    if sys.stdout.isatty():
        return subprocess.run(command, env=compiler_cache(qemu.parent)).returncode == 0
    log = qemu.parent / 'build.log'
    printed, output = time.monotonic(), []
    with open(log, 'w') as file, subprocess.Popen(
            command, env=compiler_cache(qemu.parent), text=True, errors='replace',
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            file.write(line)
            output = (output + [line])[-400:]
            step = re.match(r'\[(\d+)/(\d+)\]', line)
            if step and time.monotonic() - printed > PROGRESS_S:
                print(f'  {step[1]} of {step[2]} steps', flush=True)
                printed = time.monotonic()
    if process.returncode:
        start = next((i for i, line in enumerate(output)
                      if line.startswith('FAILED:')), 0)
        sys.stdout.writelines(output[start:start + 60])
        print(f'build: error: see above; the whole log is {log}',
              file=sys.stderr)
    return process.returncode == 0


def duration(seconds):
    return f'{int(seconds) // 60}:{int(seconds) % 60:02}'


def main():
    parser = argparse.ArgumentParser(description='Builds the fork.')
    parser.add_argument('--build-dir', default=str(ROOT / 'build'),
                        metavar='DIR')
    parser.add_argument('targets', nargs='*', default=PROGRAMS,
                        help=f'ninja targets (default: {" ".join(PROGRAMS)})')
    args = parser.parse_args()
    build = Path(args.build_dir).resolve()
    qemu = build / 'qemu'
    started = time.monotonic()
    # Configured by hand, with other options, stays as it is.
    again = ['--again'] if (build / 'options.json').is_file() else []
    if subprocess.run([ROOT / 'configure', '--build-dir', build,
                       *again]).returncode:
        return 1
    clean = not (qemu / '.ninja_log').is_file()
    partly = not clean and not (qemu / PROGRAMS[0]).is_file()
    if not run_ninja(qemu, args.targets):
        return 1
    seconds = time.monotonic() - started
    if clean:
        print(f'built from clean in {duration(seconds)}')
    elif partly:
        print(f'build taken up again and finished in {duration(seconds)}')
    else:
        print(f'rebuilt in {seconds:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
