#!/usr/bin/python3
# Builds the fork: configures what is not configured yet, brings changes of
# this repository into the build tree, runs ninja and says how long it took.
# Then the parts that need no QEMU (meson.build), in BUILD/fast.
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
PROGRAMS = ['qemu-system-x86_64', 'qemu-img', 'qemu-io', 'ft-log']
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


def run_ninja(directory, targets=()):
    """One line now and then; everything when it fails."""
    command = ['ninja', '-C', str(directory), '-j', JOBS, *targets]
    environment = compiler_cache(directory.parent)
    if sys.stdout.isatty():
        return subprocess.run(command, env=environment).returncode == 0
    log = directory.parent / f'{directory.name}.log'
    printed, output = time.monotonic(), []
    with open(log, 'w') as file, subprocess.Popen(
            command, env=environment, text=True, errors='replace',
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


def build_parts(build):
    """ft-switch, test guests, unit tests and the simulator."""
    fast, log = build / 'fast', build / 'fast-setup.log'
    build.mkdir(parents=True, exist_ok=True)
    # Configured again each time: a new source file is found only then.
    again = ['--reconfigure'] if (fast / 'build.ninja').is_file() else []
    with open(log, 'w') as output:
        done = subprocess.run(
            [sys.executable, '-m', 'mesonbuild.mesonmain', 'setup', *again,
             fast, ROOT], env=compiler_cache(build), stdout=output,
            stderr=subprocess.STDOUT)
    if done.returncode:
        print(log.read_text(errors='replace')[-1500:])
        print('build: error: meson setup failed; when a package is missing: '
              'make deps', file=sys.stderr)
        return False
    return run_ninja(fast)


def duration(seconds):
    return f'{int(seconds) // 60}:{int(seconds) % 60:02}'


def build_fork(build, targets):
    qemu = build / 'qemu'
    started = time.monotonic()
    # Configured by hand, with other options, stays as it is.
    again = ['--again'] if (build / 'options.json').is_file() else []
    if subprocess.run([ROOT / 'configure', '--build-dir', build,
                       *again]).returncode:
        return 1
    clean = not (qemu / '.ninja_log').is_file()
    partly = not clean and not (qemu / PROGRAMS[0]).is_file()
    if not run_ninja(qemu, targets):
        return 1
    seconds = time.monotonic() - started
    if clean:
        print(f'built from clean in {duration(seconds)}')
    elif partly:
        print(f'build taken up again and finished in {duration(seconds)}')
    else:
        print(f'rebuilt in {seconds:.0f} s')
    return 0


def main():
    parser = argparse.ArgumentParser(description='Builds the fork.')
    parser.add_argument('--build-dir', default=str(ROOT / 'build'),
                        metavar='DIR')
    parser.add_argument('--parts', action='store_true',
                        help='only the parts that need no QEMU')
    parser.add_argument('targets', nargs='*',
                        help='ninja targets of QEMU (default: '
                             f'{" ".join(PROGRAMS)}, and the parts)')
    args = parser.parse_args()
    build = Path(args.build_dir).resolve()
    if args.parts:
        return 0 if build_parts(build) else 1
    status = build_fork(build, args.targets or PROGRAMS)
    if status == 0 and not args.targets and not build_parts(build):
        return 1
    return status


if __name__ == '__main__':
    sys.exit(main())
