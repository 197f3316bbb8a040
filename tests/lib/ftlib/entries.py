"""The entries of a log, cut apart and changed (docs/log.md, QEMU 10.0).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct

INSTRUCTION, INTERRUPT, EXCEPTION, ASYNC = 0, 1, 2, 3
INPUT, INPUT_SYNC, CHAR, BLOCK, NET = 5, 6, 7, 8, 9
SHUTDOWN, SHUTDOWN_END = 10, 21
RANDOM, CLOCK, CHECKPOINT, CHECKPOINT_END = 27, 28, 30, 39
CLOCK_HOST, CLOCK_ELAPSED = CLOCK, CLOCK + 1
CONTROL, DIGEST = 0xf0, 0xf5


def instructions(number):
    return struct.pack('>BI', INSTRUCTION, number)


def count(entry):
    """Of an entry of instructions."""
    return struct.unpack_from('>I', entry, 1)[0]


def _array_end(data, at):
    return at + 4 + struct.unpack_from('>I', data, at)[0]


def _input_end(data, at):
    kind, what = struct.unpack_from('>II', data, at + 1)
    if kind == 0:
        return at + (18 if what == 0 else 14)
    return at + {1: 10, 2: 17, 3: 17, 4: 37}[kind]


def end_of(data, at):
    """Where the entry at this position ends."""
    kind = data[at]
    if kind == INSTRUCTION:
        return at + 5
    if kind in (3, 4, BLOCK) or CLOCK <= kind < CHECKPOINT:
        return at + 9
    if kind == INPUT:
        return _input_end(data, at)
    if kind == CHAR:
        return _array_end(data, at + 2)
    if kind == NET:
        return _array_end(data, at + 6)
    if kind == RANDOM:
        return _array_end(data, at + 5)
    if kind >= CONTROL:
        return _array_end(data, at + 1)
    return at + 1


def split(data):
    """The whole entries of a log."""
    entries, at = [], 0
    while at < len(data):
        end = end_of(data, at)
        assert end <= len(data), f'an entry of kind {data[at]} is cut'
        entries.append(data[at:end])
        at = end
    return entries


def _flip(entry, rng):
    entry = bytearray(entry)
    entry[rng.randrange(len(entry))] ^= 1 << rng.randrange(8)
    return bytes(entry)


def _new_entry(rng):
    choice = rng.randrange(7)
    if choice == 0:
        return bytes([rng.randrange(CHECKPOINT, CHECKPOINT_END)])
    if choice == 1:
        return bytes([rng.randrange(SHUTDOWN, SHUTDOWN_END)])
    if choice == 2:
        return bytes([rng.choice((INTERRUPT, EXCEPTION))])
    if choice == 3:
        return struct.pack('>BQ', rng.choice((CLOCK, CLOCK + 1)),
                           rng.getrandbits(rng.choice((20, 40, 61))))
    if choice == 4:
        return struct.pack('>BI', INSTRUCTION, 1 << rng.randrange(31))
    if choice == 5:
        return struct.pack('>BII', RANDOM, 0, 8) + rng.randbytes(8)
    return struct.pack('>BBI', CHAR, rng.randrange(3), 3) + b'abc'


def _change_number(entry, rng):
    """An instruction count, a clock or an id becomes another."""
    if entry[0] == INSTRUCTION:
        count = struct.unpack('>I', entry[1:])[0]
        count += rng.choice((-1, 1, -count // 2, count, 1 << 20))
        return struct.pack('>BI', INSTRUCTION,
                           min(max(count, 0), 0x7fffffff))
    if len(entry) == 9:
        value = struct.unpack('>q', entry[1:])[0]
        value += rng.choice((-1, 1)) * (1 << rng.randrange(60))
        value = min(max(value, -1 << 62), 1 << 62)
        return entry[:1] + struct.pack('>q', value)
    return _flip(entry, rng)


def mutate(entries, rng, others=()):
    """One change somewhere; returns what it was, and the new entries.

    others: the entries of another machine's log.
    """
    entries = list(entries)
    i = rng.randrange(1, len(entries))
    kind = rng.choice(('flip', 'drop', 'duplicate', 'move', 'swap',
                       'truncate', 'number', 'number', 'insert', 'splice'))
    if kind == 'flip':
        entries[i] = _flip(entries[i], rng)
    elif kind == 'drop':
        del entries[i]
    elif kind == 'duplicate':
        entries.insert(rng.randrange(1, len(entries)), entries[i])
    elif kind == 'move':
        entry = entries.pop(i)
        entries.insert(min(max(i + rng.choice((-2, -1, 1, 2, 20)), 1),
                           len(entries)), entry)
    elif kind == 'swap':
        j = rng.randrange(1, len(entries))
        entries[i], entries[j] = entries[j], entries[i]
    elif kind == 'truncate':
        del entries[i:]
    elif kind == 'number':
        entries[i] = _change_number(entries[i], rng)
    elif kind == 'insert':
        entries.insert(i, _new_entry(rng))
    elif kind == 'splice' and others:
        j = rng.randrange(1, len(others))
        entries[i:] = others[j:]
    return f'{kind} entry {i}', entries
