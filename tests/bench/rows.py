"""What is measured on a subject: {name: function(subject) -> figures}.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import fcntl
import re
import statistics
import struct
import subprocess
import termios
import time

from ftlib import FtError, guest

from load import Load

IDLE_S = 8.0
REDIS_S = 4.0
WARM_S = 1.0
TCP_S = 3.0
# What TCP carries on Ethernet of 1 Gbit/s, as the VM-FT paper measured it.
LINE_MBIT = 941
PINGS = 250
PING_INTERVAL_S = 0.02
REQUESTS = 200
PAGE_BYTES = 12 << 10
BLOCK = 256 << 10
LAG_S = 60.0
ENDLESS_MB = 1_000_000
RAM_SLACK_KB = 4096         # a mapping of the RAM may be larger by so much
# How long each job is: about a second on plain TCG, or more.
SIZES = {'md5': 100, 'forks': 400, 'reads': 8, 'write': 4000}


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def _spread(values_ms):
    return {'median_ms': statistics.median(values_ms),
            'p99_ms': percentile(values_ms, 99), 'max_ms': max(values_ms),
            'all_ms': [round(value, 3) for value in sorted(values_ms)]}


def idle(subject):
    time.sleep(WARM_S)
    start = subject.meter.begin()
    subject.meter.spend(IDLE_S)
    return subject.meter.end(start)


def ping_times(subject, count, answered=0.9):
    """Milliseconds of each; a few may stay without an answer."""
    done = subprocess.run(
        [*subject.network.prefix_client, 'ping', '-n', '-i',
         str(PING_INTERVAL_S), '-c', str(count), '-W', '2', guest.ADDRESS],
        text=True, capture_output=True)
    times = [float(value) for value in
             re.findall(r'time=([\d.]+) ms', done.stdout)]
    if len(times) < count * answered:
        raise FtError(f'{count - len(times)} of {count} pings had no answer: '
                      f'{(done.stderr or done.stdout).strip()[-300:]}')
    return times


def ping(subject):
    subject.settle()
    ping_times(subject, 5, answered=0)
    start = subject.meter.begin()
    times = ping_times(subject, PINGS)
    return {**subject.meter.end(start), **_spread(times),
            'unanswered': PINGS - len(times)}


def _get(subject):
    """One page on a connection of its own; milliseconds."""
    began = time.monotonic()
    size = 0
    with subject.connect(80) as sock:
        sock.sendall(b'GET /page HTTP/1.0\r\n\r\n')
        while data := sock.recv(65536):
            size += len(data)
    if size < PAGE_BYTES:
        raise FtError(f'the page had only {size} bytes')
    return (time.monotonic() - began) * 1000


def http(subject):
    subject.settle()
    for _ in range(5):
        _get(subject)
    start = subject.meter.begin()
    times = [_get(subject) for _ in range(REQUESTS)]
    return {**subject.meter.end(start), **_spread(times)}


def _acknowledged(sock, sent):
    queued = struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ,
                                            b'\0' * 4))[0]
    return sent - queued


def _send(sock, seconds, sent):
    data = bytes(BLOCK)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sent += sock.send(data)
    return sent


def _receive(sock, seconds, buffer):
    received = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        received += sock.recv_into(buffer)
    return received


def _rate(figures, size):
    return {**figures, 'bytes': size,
            'mbit_s': size * 8 / 1e6 / figures['seconds']}


def receive(subject):
    """The guest receives: what it has acknowledged counts."""
    subject.settle()
    with subject.connect(5001) as sock:
        sent = _send(sock, WARM_S, 0)
        start = subject.meter.begin()
        before = _acknowledged(sock, sent)
        sent = _send(sock, TCP_S, sent)
        size = _acknowledged(sock, sent) - before
        return _rate(subject.meter.end(start), size)


def send(subject):
    subject.settle()
    buffer = bytearray(BLOCK)
    with subject.connect(5002) as sock:
        _receive(sock, WARM_S, buffer)
        start = subject.meter.begin()
        size = _receive(sock, TCP_S, buffer)
        return _rate(subject.meter.end(start), size)


def _on_line(row):
    def measure(subject):
        with subject.network.line(LINE_MBIT):
            return row(subject)
    return measure


def redis(subject):
    """One client, one SET at a time, each synced to the guest's disk."""
    subject.settle()
    host, port = subject.network.address(guest.REDIS_PORT)
    with subject.network.inside():
        load = Load(port, 1, host)
    try:
        load.start()
        time.sleep(WARM_S)
        start = subject.meter.begin()
        time.sleep(REDIS_S)
        figures = subject.meter.end(start)
        load.stop()
        if load.error:
            raise FtError(load.error)
    finally:
        load.close()
    since = start['moment']
    times = [ack for ack in load.acks
             if since <= ack <= since + figures['seconds']]
    gaps = [(later - earlier) * 1000
            for earlier, later in zip(times, times[1:])]
    if not gaps:
        raise FtError(f'only {len(times)} writes were acknowledged')
    return {**figures, **_spread(gaps),
            'per_s': len(times) / figures['seconds']}


def _job(name):
    return lambda subject: subject.job(name, SIZES[name])


def _kind(mapped, rights):
    """Of a mapping that is not the guest's RAM."""
    if mapped.endswith('initramfs.cpio'):
        return 'image'              # the guest is booted from it
    if 'x' in rights and 'w' in rights:
        return 'code'               # translated
    return 'programs' if mapped.startswith('/') else 'data'


def _rss_mib(pid):
    """{kind: MiB that are resident}, without the guest's RAM."""
    kinds = {}
    ram = False
    with open(f'/proc/{pid}/smaps', encoding='utf-8') as file:
        for line in file:
            words = line.split()
            if words[0] == 'Size:':
                size_kb = int(words[1])
            elif words[0] == 'Rss:':
                if not mapped and 0 <= size_kb - (guest.MEMORY_MB << 10) \
                        <= RAM_SLACK_KB:
                    ram = True
                    continue
                kind = _kind(mapped, rights)
                kinds[kind] = kinds.get(kind, 0) + int(words[1]) / 1024
            elif not words[0].endswith(':'):
                rights = words[1]
                mapped = words[5] if len(words) > 5 else ''
    if not ram:
        raise FtError(f'process {pid} has no mapping of the guest\'s RAM')
    kinds.pop('image', None)
    return kinds


def memory(subject):
    """Of the larger side; each host has its own copy of what is shared."""
    figures = {}
    for name, machine in (('primary', subject.pair.primary),
                          ('backup', subject.pair.backup)):
        if machine:
            kinds = _rss_mib(machine.pid)
            figures[f'{name}_mib'] = sum(kinds.values())
            figures.update({f'{name}_{kind}_mib': size
                            for kind, size in kinds.items()})
    return {**figures, 'mib': max(figures['primary_mib'],
                                  figures.get('backup_mib', 0))}


def lag(subject):
    """The backup's, while the guest computes for a minute."""
    subject.settle()
    subject.order('md5', ENDLESS_MB)
    time.sleep(WARM_S)
    start = subject.meter.begin()
    subject.meter.spend(LAG_S)
    figures = subject.meter.end(start)
    samples = [(moment - start['moment'], status['lag-ms']) for
               moment, status in subject.meter.samples[start['sample']:]]
    first = [value for moment, value in samples if moment <= 10]
    last = [value for moment, value in samples if moment > LAG_S - 10]
    return {**figures, 'first_ms': statistics.median(first),
            'last_ms': statistics.median(last),
            'p99_ms': percentile([value for _, value in samples], 99),
            'max_ms': max(value for _, value in samples),
            'samples': [[round(moment, 2), value]
                        for moment, value in samples]}


# In this order, on one subject; memory at the end, when all was used.
ROWS = {
    'idle': idle, 'ping': ping, 'http': http, 'receive': receive,
    'send': send, 'receive-1g': _on_line(receive), 'send-1g': _on_line(send),
    'redis': redis, 'md5': _job('md5'), 'forks': _job('forks'),
    'reads': _job('reads'), 'write': _job('write'), 'memory': memory,
}
