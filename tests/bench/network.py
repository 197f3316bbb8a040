"""The network of the measured machines: host a, host b and a client.

As root each is a network namespace on one bridge, and the machines have tap
devices, as in production.  Else ft-switch stands between the guest and
127.0.0.1; then nothing can ping the guest.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import ctypes
import json
import os
import re
import subprocess

from ftlib import FtError, guest, netns, paths
from ftlib.pair import Switch

CLONE_NEWNET = 0x40000000
PORTS = (guest.REDIS_PORT, 80, 5001, 5002)
# Of a line of limited rate: a few packets of the largest kind at a time.
LINE_BURST, LINE_LATENCY = '192kb', '10ms'
_libc = ctypes.CDLL(None, use_errno=True)


def _set_namespace(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise FtError(f'setns: {os.strerror(ctypes.get_errno())}')


class TapNetwork:
    """Made once; each pair after the other uses it."""

    why_no_ping = None
    description = 'tap devices on bridges, three network namespaces'
    backup_host = '10.0.2.102'
    prefix_client = ()

    def __init__(self):
        self._lan = netns.Lan()
        self._a = self._lan.host('a', '10.0.2.101/24', tap='ft0')
        self._b = self._lan.host('b', '10.0.2.102/24', tap='ft0')
        self._client = self._lan.host('c', '10.0.2.2/24')
        for host in (self._a, self._b, self._client):
            # Its neighbour discovery would wake an idle guest.
            host.run('sysctl', '-q', '-w',
                     'net.ipv6.conf.all.disable_ipv6=1')
        self.prefix_a = self._a.prefix
        self.prefix_b = self._b.prefix
        self.prefix_client = self._client.prefix

    @staticmethod
    def netdev():
        return guest.network_tap('ft0')

    def start(self, pair):
        pair.listen_host = pair.peer_host = self.backup_host

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes meanwhile are the client's."""
        with open('/proc/thread-self/ns/net', 'rb') as home, \
                open(f'/run/netns/{self._client.namespace}', 'rb') as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())

    @staticmethod
    def address(port):
        """Where the guest's port is for a socket made inside."""
        return guest.ADDRESS, port

    def input_bytes(self):
        """All that the guest's card was sent so far."""
        done = subprocess.run(
            ['ip', '-n', self._a.namespace, '-s', '-j', 'link', 'show',
             'ft0'], text=True, capture_output=True, check=True)
        return json.loads(done.stdout)[0]['stats64']['tx']['bytes']

    @contextlib.contextmanager
    def line(self, mbit_s):
        """The client's cable carries no more than this meanwhile."""
        ends = ((self._client.namespace, 'eth0'),
                (self._lan.center, self._client.cable))
        try:
            for namespace, link in ends:
                self._tc(namespace, 'add', link, 'root', 'tbf', 'rate',
                         f'{mbit_s}mbit', 'burst', LINE_BURST, 'latency',
                         LINE_LATENCY)
            yield
        finally:
            for namespace, link in ends:
                with contextlib.suppress(FtError):
                    self._tc(namespace, 'del', link, 'root')

    @staticmethod
    def _tc(namespace, verb, link, *words):
        done = subprocess.run(
            ['tc', '-n', namespace, 'qdisc', verb, 'dev', link, *words],
            text=True, capture_output=True)
        if done.returncode:
            raise FtError(f'tc: {done.stderr.strip()}')

    def close(self):
        self._lan.close()


class SwitchNetwork:
    """ft-switch, a new one for each pair."""

    why_no_ping = netns.usable()
    description = 'ft-switch'
    prefix_a = prefix_b = prefix_client = ()

    def __init__(self):
        self._ports = {}

    @staticmethod
    def netdev():
        return guest.network_switch('../switch')

    def start(self, pair):
        self._ports = {port: paths.free_port() for port in PORTS}
        pair.switch = Switch(pair.directory, [
            f'tcp:127.0.0.1:{mine}-{guest.ADDRESS}:{port}'
            for port, mine in self._ports.items()])

    @staticmethod
    @contextlib.contextmanager
    def inside():
        yield

    def address(self, port):
        return '127.0.0.1', self._ports[port]

    @staticmethod
    def line(mbit_s):
        raise FtError(f'ft-switch has no line of {mbit_s} Mbit/s: needs root')

    @staticmethod
    def input_bytes():
        return None             # ft-switch doesn't count

    def close(self):
        pass


def channel_bytes(network, pair):
    """What the backup has received on the log's connection so far."""
    done = subprocess.run(
        [*network.prefix_b, 'ss', '-tinH', 'state', 'established',
         f'sport = :{pair.listen_port}'], text=True, capture_output=True)
    found = re.findall(r'bytes_received:(\d+)', done.stdout)
    if not found:
        raise FtError('ss shows no connection of the log: '
                      f'{(done.stderr or done.stdout).strip()}')
    return sum(map(int, found))


def make_network():
    return SwitchNetwork() if netns.usable() else TapNetwork()


def pin(network):
    """The primary, or the only machine, has a core for itself; the backup,
    the client and all else of ours share the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise FtError('--pin needs two cores')
    rest = ','.join(map(str, cores[1:]))
    network.prefix_a = [*network.prefix_a, 'taskset', '-c', str(cores[0])]
    network.prefix_b = [*network.prefix_b, 'taskset', '-c', rest]
    os.sched_setaffinity(0, cores[1:])
    network.description += '; the primary on a core of its own'
