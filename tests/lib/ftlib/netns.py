"""Network namespaces on one bridge, as hosts of a small LAN.  Needs root.

    with Lan() as lan:
        a = lan.host('a', '10.77.0.1/24', tap='ft0')
        b = lan.host('b', '10.77.0.2/24', tap='ft0')
        client = lan.host('client', '10.77.0.9/24')
        Machine(..., prefix=a.prefix)       # netdev: guest.network_tap('ft0')
        client.run('python3', 'client.py', '10.77.0.15')

Each host is a namespace with a bridge br0 (the host's address), which has
the host's cable (eth0) and, if asked for, a tap.  All cables end in one
more namespace's bridge.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess

from . import FtError


def usable():
    """None, or why namespaces can't be made here."""
    if os.geteuid() != 0:
        return 'network namespaces need root'
    if not shutil.which('ip'):
        return 'ip is missing: install iproute2'
    if not os.path.exists('/dev/net/tun'):
        return '/dev/net/tun is missing'
    name = f'ft-probe-{os.getpid()}'
    done = subprocess.run(['ip', 'netns', 'add', name], text=True,
                          capture_output=True)
    if done.returncode:
        return f'ip netns add: {done.stderr.strip()}'
    subprocess.run(['ip', 'netns', 'del', name], check=False)
    return None


def _ip(*words):
    done = subprocess.run(['ip', *words], text=True, capture_output=True)
    if done.returncode:
        raise FtError(f'ip {" ".join(words)}: {done.stderr.strip()}')


class Host:
    """A namespace of a Lan."""

    def __init__(self, name, namespace, cable):
        self.name = name
        self.namespace = namespace
        self.cable = cable          # its end in the Lan's own namespace
        self.prefix = ['ip', 'netns', 'exec', namespace]

    def run(self, *argv, timeout=30, check=True):
        done = subprocess.run([*self.prefix, *argv], text=True,
                              capture_output=True, timeout=timeout)
        if check and done.returncode:
            raise FtError(f'{" ".join(argv)} in {self.name}: '
                          f'{(done.stderr or done.stdout).strip()}')
        return done


class Lan:
    """Makes the namespaces; leaving the with block removes them."""

    def __init__(self):
        self._base = f'ft{os.getpid()}'
        self._made = []
        self._hosts = []
        self.center = self._namespace('lan')
        self._bridge(self.center)

    def _namespace(self, name):
        namespace = f'{self._base}-{name}'
        _ip('netns', 'add', namespace)
        self._made.append(namespace)
        _ip('-n', namespace, 'link', 'set', 'lo', 'up')
        return namespace

    @staticmethod
    def _bridge(namespace):
        _ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge',
            'stp_state', '0', 'forward_delay', '0')
        _ip('-n', namespace, 'link', 'set', 'br0', 'up')

    @staticmethod
    def _plug_in(namespace, link):
        _ip('-n', namespace, 'link', 'set', link, 'master', 'br0', 'up')

    def host(self, name, address, tap=None):
        namespace = self._namespace(name)
        cable = f'c{len(self._hosts)}'
        host = Host(name, namespace, cable)
        self._hosts.append(host)
        self._bridge(namespace)
        _ip('-n', self.center, 'link', 'add', cable, 'type', 'veth', 'peer',
            'name', 'eth0', 'netns', namespace)
        self._plug_in(self.center, cable)
        self._plug_in(namespace, 'eth0')
        _ip('-n', namespace, 'addr', 'add', address, 'dev', 'br0')
        if tap:
            _ip('-n', namespace, 'tuntap', 'add', tap, 'mode', 'tap')
            self._plug_in(namespace, tap)
        return host

    def unplug(self, host):
        """The host's cable is pulled: silence in both directions."""
        _ip('-n', self.center, 'link', 'set', host.cable, 'down')

    def replug(self, host):
        _ip('-n', self.center, 'link', 'set', host.cable, 'up')

    def close(self):
        while self._made:
            subprocess.run(['ip', 'netns', 'del', self._made.pop()],
                           check=False, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
