"""A flame graph of the primary's vCPU thread, by perf's samples.

Samples are of CPU time by a software clock, which works in a virtual machine
too.  Stacks end where code that TCG translated was entered: it has no
information for unwinding.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import shutil
import signal
import subprocess
import time

from ftlib import FtError
from svg import FAINT, INK, Drawing

from rows import ROWS
from subject import Subject

HERTZ = 499
STACK_BYTES = 8192
PERF_BOUND_S = 120
TIMES = 3                   # the row is done, for enough samples
TOP = 12
WIDTH, ROW_HEIGHT, MARGIN = 1200, 17, 10
SHOWN_SHARE = 0.002         # frames below it are left out
LETTER = 6.9                # width of one at size 11
TRANSLATED = 'translated code'
# Who a function belongs to: its beginning, the colour.
KINDS = (
    (re.compile(re.escape(TRANSLATED)), '#c9d1d9', 'translated code'),
    (re.compile(r'(ft_|sink_write|source_read|take_|publish)'), '#f0a35e',
     'this project'),
    (re.compile(r'replay_|icount_|rr_'), '#f5d06f',
     'record/replay, counting'),
    (re.compile(r'helper_|tlb_|probe_|mmu_|get_page_addr|victim'), '#9cc5e8',
     'TCG\'s helpers, memory'),
    (re.compile(r'.*\[k\]'), '#cbb3e6', 'kernel'),
    (re.compile(r''), '#b9dfc0', 'the rest'),
)


def _vcpu_thread(machine):
    return machine.qmp.command('query-cpus-fast')[0]['thread-id']


class _Perf:
    """Records a thread from now to stop()."""

    def __init__(self, thread, path):
        self._path = path
        self._process = subprocess.Popen(
            ['perf', 'record', '-q', '-e', 'cpu-clock', '-F', str(HERTZ),
             '--call-graph', f'dwarf,{STACK_BYTES}', '-t', str(thread),
             '-o', path], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)             # it has no word for "ready"
        if self._process.poll() is not None:
            raise FtError(f'perf: {self._process.stderr.read().strip()}')

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PERF_BOUND_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise FtError('perf did not end') from None
        finally:
            self._process.stderr.close()


def _frame(line):
    """'  55d0 qemu_mutex_lock_impl (/path/qemu)' -> a name."""
    match = re.match(r'\s*[0-9a-f]+ (.*) \((.*)\)$', line)
    if not match:
        return None
    name, where = match.groups()
    name = name.split('+0x')[0]
    if 'kernel' in where or where.endswith('.ko'):
        return f'{name} [k]'
    if name == '[unknown]':
        return TRANSLATED if 'qemu' not in where and '.so' not in where \
            else os.path.basename(where)
    return name


def fold(text):
    """{stack, outermost first: samples} of what perf script printed."""
    stacks = {}
    for block in text.split('\n\n'):
        names = [name for name in map(_frame, block.splitlines()) if name]
        if TRANSLATED in names:
            # What is beyond it was guessed.
            names = names[:names.index(TRANSLATED) + 1]
        if names:
            stack = tuple(reversed(names))
            stacks[stack] = stacks.get(stack, 0) + 1
    return stacks


def _read(path):
    done = subprocess.run(['perf', 'script', '--no-inline', '-F',
                           'ip,sym,dso', '-i', path], text=True,
                          capture_output=True, timeout=PERF_BOUND_S)
    stacks = fold(done.stdout)
    if not stacks:
        raise FtError('perf took no sample: '
                      f'{done.stderr.strip()[-300:]}')
    return stacks


def _tree(stacks):
    """{'count', 'children': {name: the same}}"""
    root = {'count': 0, 'children': {}}
    for stack, count in stacks.items():
        node = root
        node['count'] += count
        for name in stack:
            node = node['children'].setdefault(
                name, {'count': 0, 'children': {}})
            node['count'] += count
    return root


def _depth(node, total):
    return 1 + max([_depth(child, total)
                    for child in node['children'].values()
                    if child['count'] >= total * SHOWN_SHARE] or [0])


def _colour(name):
    return next(colour for pattern, colour, _ in KINDS
                if pattern.match(name))


def _draw_node(drawing, node, box, bottom, total):
    """box: (left, width) of the node; its children stand on bottom."""
    left, width = box
    for name, child in sorted(node['children'].items(),
                              key=lambda item: -item[1]['count']):
        share = width * child['count'] / node['count']
        if child['count'] >= total * SHOWN_SHARE:
            drawing.rect(left, bottom - ROW_HEIGHT, max(share - 0.5, 0.5),
                         ROW_HEIGHT - 1, _colour(name))
            letters = int((share - 6) / LETTER)
            if letters >= 3:
                text = name if len(name) <= letters \
                    else name[:letters - 1] + '…'
                drawing.text(left + 3, bottom - 5, text, 11)
            _draw_node(drawing, child, (left, share), bottom - ROW_HEIGHT,
                       total)
        left += share


def draw(stacks, title, path):
    root = _tree(stacks)
    height = 90 + ROW_HEIGHT * _depth(root, root['count'])
    drawing = Drawing(WIDTH, height)
    drawing.text(MARGIN, 26, title, 16, INK, font_weight='bold')
    x = MARGIN
    for _, colour, text in KINDS:
        drawing.rect(x, 42, 11, 11, colour)
        drawing.text(x + 16, 52, text, 11, FAINT)
        x += 40 + LETTER * len(text)
    _draw_node(drawing, root, (MARGIN, WIDTH - 2 * MARGIN), height - 10,
               root['count'])
    drawing.save(path)


def _top(stacks):
    """[[name, share]] by the innermost function."""
    own = {}
    for stack, count in stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + count
    total = sum(own.values())
    return [[name, count / total] for name, count in
            sorted(own.items(), key=lambda item: -item[1])[:TOP]]


def flame(network, qemu, append, row, picture, progress):
    """Measures a row under perf; draws the picture."""
    if not shutil.which('perf'):
        raise FtError('perf is missing: install linux-perf')
    with Subject('protected', network, qemu, append) as subject:
        progress('boots')
        subject.boot()
        progress(f'{row} under perf')
        path = os.path.join(subject.pair.directory, 'perf.data')
        perf = _Perf(_vcpu_thread(subject.pair.primary), path)
        try:
            for _ in range(TIMES):
                ROWS[row](subject)
        finally:
            perf.stop()
        progress('reading the samples')
        stacks = _read(path)
    samples = sum(stacks.values())
    draw(stacks, f'The primary\'s vCPU thread, {row}: {samples:,} samples, '
         f'{samples / HERTZ:.1f} s of CPU', picture)
    return {'row': row, 'samples': samples, 'top': _top(stacks)}
