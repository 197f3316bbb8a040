"""The VM-FT paper's two tables, and the same measured here.

Scales, Nelson, Venkitachalam: "The Design of a Practical System for
Fault-Tolerant Virtual Machines", OSR 44(4), 2010, tables 1 and 2.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from table import number
from targets import COUNTING, PLAIN, PROTECTED

# Of the paper: (workload, performance with FT / without, log in Mbit/s)
PAPER_1 = (
    ('SPECjbb2005: computes', 0.98, 1.5),
    ('Kernel compile: processes', 0.95, 3.0),
    ('Oracle Swingbench: transactions', 0.99, 12),
    ('MS-SQL DVD Store: transactions', 0.94, 18),
)
# (direction, log link, base, FT, log), all in Mbit/s
PAPER_2 = (
    ('receives', '1 Gbit/s', 940, 604, 730),
    ('transmits', '1 Gbit/s', 940, 855, 42),
    ('receives', '10 Gbit/s', 940, 860, 990),
    ('transmits', '10 Gbit/s', 940, 935, 60),
)
# Ours: (workload, row, key, whether more is better)
OURS_1 = (
    ('md5 of 100 MiB: computes', 'md5', 'seconds', False),
    ('400 processes', 'forks', 'seconds', False),
    ('redis SET, synced: transactions', 'redis', 'per_s', True),
)
# (direction, row, line)
OURS_2 = (
    ('receives', 'receive-1g', '1 Gbit/s'),
    ('transmits', 'send-1g', '1 Gbit/s'),
    ('receives', 'receive', 'same host'),
    ('transmits', 'send', 'same host'),
)


def _performance(middle, base, row, key, more):
    try:
        mine = middle[PROTECTED][row][key]
        other = middle[base][row][key]
    except KeyError:
        return None
    return mine / other if more else other / mine


def _get(middle, mode, row, key):
    return middle.get(mode, {}).get(row, {}).get(key)


def table_1(middle):
    yield '| workload | FT / plain | FT / counting alone | log, Mbit/s |'
    yield '|---|---|---|---|'
    for name, ratio, log in PAPER_1:
        yield f'| paper: {name} | {ratio:.2f} | | {number(log)} |'
    for name, row, key, more in OURS_1:
        yield (f'| here: {name} '
               f'| {number(_performance(middle, PLAIN, row, key, more))} '
               f'| {number(_performance(middle, COUNTING, row, key, more))} '
               f'| {number(_get(middle, PROTECTED, row, "log_mbit_s"))} |')


def table_2(middle):
    yield ('| guest | client\'s line | log link | base, Mbit/s | FT, Mbit/s '
           '| log, Mbit/s |')
    yield '|---|---|---|---|---|---|'
    for direction, link, base, ft, log in PAPER_2:
        yield (f'| paper: {direction} | 1 Gbit/s | {link} | {base} | {ft} '
               f'| {log} |')
    for direction, row, line in OURS_2:
        yield (f'| here: {direction} | {line} | same host '
               f'| {number(_get(middle, PLAIN, row, "mbit_s"))} '
               f'| {number(_get(middle, PROTECTED, row, "mbit_s"))} '
               f'| {number(_get(middle, PROTECTED, row, "log_mbit_s"))} |')
