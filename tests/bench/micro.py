"""Builds and runs the microbenchmarks (micro.c) with this build's objects.

The program is QEMU's own, with another main(): whatever the engine needs is
there, compiled as it is measured elsewhere.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import os
import shlex
import subprocess
import tempfile

from ftlib import FtError, paths

HERE = os.path.dirname(os.path.abspath(__file__))
LIKE = 'ft/gate.c'          # its flags compile micro.c, too
TARGET = 'qemu-system-x86_64'
MAIN = f'{TARGET}.p/system_main.c.o'
BOUND_S = 120


def _run(argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=BOUND_S)
    if done.returncode:
        raise FtError(f'{os.path.basename(argv[0])} failed: '
                      f'{done.stderr.strip()[-500:]}')
    return done.stdout


def _commands(qemu, *rule):
    return json.loads(_run(['ninja', '-t', 'compdb', *rule], qemu))


def _compile(qemu, target):
    entry = next((entry for entry in _commands(qemu)
                  if entry['file'].endswith(f'/{LIKE}')), None)
    if not entry:
        raise FtError(f'{qemu} does not build {LIKE}')
    words, output = shlex.split(entry['command']), f'{target}.o'
    for option, value in (('-o', output), ('-c', os.path.join(HERE,
                                                              'micro.c')),
                          ('-MF', f'{target}.d'), ('-MQ', output)):
        words[words.index(option) + 1] = value
    _run([*words, '-I', paths.ROOT], qemu)
    return output


def _link(qemu, target, main):
    entry = next(entry for entry in _commands(qemu, '-x', 'c_LINKER_RSP')
                 if entry['output'] == TARGET)
    words = [main if word == MAIN else word
             for word in shlex.split(entry['command'])]
    if main not in words:
        raise FtError(f'{TARGET} is not linked from {MAIN}')
    words[words.index('-o') + 1] = target
    _run(words, qemu)


def micro(progress):
    """{'rows': [{'name', 'ns', 'note'}]}"""
    qemu = os.path.join(paths.build_dir(), 'qemu')
    if not os.path.exists(os.path.join(qemu, 'build.ninja')):
        raise FtError(f'not built: no {qemu}/build.ninja')
    target = os.path.join(os.path.abspath(paths.build_dir()), 'bench',
                          'micro')
    os.makedirs(os.path.dirname(target), exist_ok=True)
    progress('compiling')
    main = _compile(qemu, target)
    progress('linking')
    _link(qemu, target, main)
    rows = []
    with tempfile.TemporaryDirectory(dir=paths.scratch_dir()) as directory:
        log = os.path.join(directory, 'log')
        for words in (['encode', log], ['decode', log], ['rest']):
            progress(words[0])
            for line in _run([target, *words]).splitlines():
                name, ns, note = line.split('\t')
                rows.append({'name': name, 'ns': float(ns), 'note': note})
    return {'rows': rows}
