"""Where the build's programs and this repository's files are.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import glob
import os
import random
import socket

from . import FtError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
# Below the kernel's range for outgoing connections, so that no connection of
# somebody else takes a port between our look and the server's bind.
PORTS = range(20000, 30000)
SCRATCH_MIN = 1 << 30            # bytes free, for several pairs
USUAL_PLACES = ('qemu', 'tools/ft-switch', 'fast/tools/ft-lease')  # before a search of everything


def build_dir():
    return os.environ.get('FT_BUILD') or os.path.join(ROOT, 'build')


def _find(variable, name):
    path = os.environ.get(variable)
    if path:
        if not os.access(path, os.X_OK):
            raise FtError(f'{variable}={path} is no program')
        return os.path.abspath(path)
    for where in USUAL_PLACES:
        path = os.path.join(build_dir(), where, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    found = [path for path in
             glob.glob(os.path.join(build_dir(), '**', name), recursive=True)
             if os.path.isfile(path) and os.access(path, os.X_OK)]
    if not found:
        raise FtError(f'no {name} in {build_dir()}: run make, or name it with '
                      f'{variable}=PATH')
    return max(found, key=os.path.getmtime)


def qemu():
    return _find('FT_QEMU', 'qemu-system-x86_64')


def qemu_img():
    return _find('FT_QEMU_IMG', 'qemu-img')


def ft_switch():
    return _find('FT_SWITCH', 'ft-switch')


def ft_lease():
    return _find('FT_LEASE', 'ft-lease')


def ft_faulty():
    return _find('FT_FAULTY_LIBRARY', 'libft-faulty.so')


def ft_log():
    return _find('FT_LOG', 'ft-log')


def scratch_dir():
    """For short-lived disks: memory, so that no test waits for this host's."""
    memory = '/dev/shm'
    if os.access(memory, os.W_OK):
        free = os.statvfs(memory)
        if free.f_bavail * free.f_frsize >= SCRATCH_MIN:
            return memory
    return None                     # tempfile's own choice


def _is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(('127.0.0.1', port))
        except OSError:
            return False
    return True


_given_ports = set()


def free_port():
    """A port of 127.0.0.1 that nobody has, neither for TCP nor for UDP.

    Nor was it given before: who got it may not have bound it yet.
    """
    for port in random.SystemRandom().sample(PORTS, 200):
        if (port not in _given_ports and _is_free(port, socket.SOCK_STREAM)
                and _is_free(port, socket.SOCK_DGRAM)):
            _given_ports.add(port)
            return port
    raise FtError(f'no free port from {PORTS.start} to {PORTS.stop - 1}')
