"""Pairs that run one of the bare-metal guests of roms/.

They begin within a fraction of a second, and what they print shows whether
a takeover lost, repeated or invented something.

    with RomPair('counter') as pair:
        pair.protect()
        pair.primary.process.kill()
        pair.backup.wait_state('alone')

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import socket
import sys

from . import FtError, paths
from .pair import Pair
from .process import wait_for
from .relay import Relay

sys.path.insert(0, os.path.join(paths.ROOT, 'tests', 'roms'))
import network_peer as net  # noqa: E402

DISK_MB = 8
MAC = '52:54:00:aa:bb:02'
MAC_BYTES = bytes.fromhex(MAC.replace(':', ''))


def path(name):
    """The image of one of the guests."""
    where = os.environ.get('FT_ROMS') or os.path.join(
        paths.build_dir(), 'fast', 'roms')
    image = os.path.join(where, f'{name}.rom')
    if not os.path.isfile(image):
        raise FtError(f'{image} is missing: run make, or name its directory '
                      'with FT_ROMS=DIR')
    return image


def options(name, serial='file,id=s0,path=serial.log'):
    return ['-M', 'pc', '-m', '16', '-nodefaults', '-display', 'none',
            '-bios', path(name), '-chardev', serial,
            '-serial', 'chardev:s0']


def disk_options(file='disk.raw', kind='raw'):
    return ['-drive', f'if=none,file={file},format={kind},id=d0',
            '-device', 'virtio-blk-pci,drive=d0']


def network_options(netdev, device='virtio-net-pci'):
    return ['-netdev', netdev, '-device',
            f'{device},netdev=n0,mac={MAC},romfile=']


class RomPair(Pair):
    """extra: options of both sides; relay: put a Relay between the two."""

    def __init__(self, rom, extra=(), relay=False, disk=False, **rest):
        words = options(rom, **rest)
        if disk:
            words += disk_options()
        super().__init__(options=[*words, *extra], disk=disk)
        self.relay = None
        if relay:
            self.relay = Relay(self.listen_port)
            self.peer_port = self.relay.port

    def prepare_disks(self):
        for name in ('a', 'b'):
            with open(os.path.join(self.directory, name, 'disk.raw'),
                      'wb') as file:
                file.truncate(DISK_MB << 20)

    def protect(self):
        """Both sides, up to the state "protected"."""
        if self.disk:
            self.prepare_disks()
        self.start_backup()
        self.start_primary()
        for machine in (self.primary, self.backup):
            machine.wait_state('protected')

    def start_machine(self, name, ft, words=None, prefix=()):
        """One more machine, in a directory of its own name.

        words: other options than the pair's.
        """
        os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        usual = self._options
        self._options = words or usual
        try:
            return self._start(name, ft, prefix)
        finally:
            self._options = usual

    def start_other_primary(self, name, words=None, node=None, extra=''):
        """As start_primary(), by another machine; new=on has to be said."""
        return self.start_machine(
            name, f'primary,peer=127.0.0.1:{self.peer_port},'
            f'lease={self.lease_uri},node={node or name}{extra}', words)

    def start_other_backup(self, name, port, words=None, node=None):
        return self.start_machine(
            name, f'backup,listen=127.0.0.1:{port},'
            f'lease={self.lease_uri},node={node or name}', words)

    def history(self, *fits):
        """What the world read on the serial line, both sides joined."""
        return join(text(self.primary), text(self.backup), *fits)

    def close(self):
        super().close()
        if self.relay:
            self.relay.close()


class EchoPair(RomPair):
    """echo.rom; each machine's cable ends in a datagram socket of ours.

    rom, device: another card, and the guest that drives it.
    """

    def __init__(self, rom='echo', device='virtio-net-pci', **rest):
        netdev = ('dgram,id=n0,local.type=unix,local.path=net,'
                  'remote.type=unix,remote.path=peer')
        super().__init__(rom, extra=network_options(netdev, device), **rest)
        self.ends = {}
        for node in ('a', 'b'):
            end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            end.settimeout(20)
            end.bind(os.path.join(self.directory, node, 'peer'))
            self.ends[node] = end

    def wait_ready(self):
        wait_for(lambda: 'echo ready' in text(self.primary), 20,
                 'that the guest is ready', self.primary.process)

    def send(self, frame, node='a'):
        self.ends[node].sendto(frame, os.path.join(self.directory, node,
                                                   'net'))

    def wait_frame(self, node, kind):
        """The next frame of an Ethernet type; others are passed over."""
        while True:
            frame = self.ends[node].recv(65536)
            if frame[12:14] == kind:
                return frame

    def wait_udp(self, node, port):
        while True:
            frame = self.wait_frame(node, b'\x08\x00')
            if frame[23] == net.UDP:
                packet = net.Udp(frame)
                if packet.from_port == port:
                    return packet.data

    def echo(self, data, node='a'):
        """Sends data to the guest's echo port and waits for it."""
        self.send(net.udp(MAC_BYTES, 7, data), node)
        while (answer := self.wait_udp(node, 7)) != data:
            pass
        return answer

    def count(self, node='a'):
        """How many packets the guest says it echoed."""
        self.send(net.udp(MAC_BYTES, 8, b'?'), node)
        return int(self.wait_udp(node, 8).split(b'=')[1])

    def heard(self, node):
        """What a machine sent and nobody has taken yet."""
        frames = []
        end = self.ends[node]
        end.setblocking(False)
        try:
            while True:
                frames.append(end.recv(65536))
        except BlockingIOError:
            pass
        end.settimeout(20)
        return frames

    def close(self):
        super().close()
        for end in self.ends.values():
            end.close()


class SerialLine:
    """The other end of a machine's serial port."""

    def __init__(self, machine, name='serial'):
        path = os.path.join(machine.directory, name)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self.text = ''

    def send(self, text):
        self._socket.sendall(text.encode('ascii'))

    def wait(self, text):
        start = len(self.text)
        while text not in self.text[max(0, start - len(text)):]:
            data = self._socket.recv(4096)
            assert data, f'closed before {text!r}'
            self.text += data.decode('ascii')

    def close(self):
        self._socket.close()


# --- histories --------------------------------------------------------------

def text(machine):
    """What a machine printed, its ends of lines as they are (CR LF)."""
    try:
        with open(machine.serial_path, encoding='latin-1',
                  newline='') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def lines(history):
    """The whole lines of a serial line's text."""
    return history.split('\r\n')[:-1]


def reports(machine, pattern):
    """The groups of each whole line that the guest printed of this kind.

    A survivor's first line may be the rest of one that the other began: it
    is of no kind.
    """
    return [match.groups() for line in lines(text(machine))
            if (match := re.fullmatch(pattern, line))]


def writes_on(machine, count=2):
    """The guest, which writes all the time, says that it did some more."""
    start = len(lines(text(machine)))
    wait_for(lambda: len(lines(text(machine))) >= start + count, 60,
             f'{count} lines of the guest', machine.process)


COUNTER_LINE = re.compile(
    r'counter (?P<n>\d{6,})|checksum (?P<at>\d{6,}) [0-9a-f]{8}')


def is_continuous(history):
    """Whether the counter guest could have printed this text."""
    try:
        check_counter(history)
    except AssertionError:
        return False
    return True


def check_counter(history):
    """Asserts that no number is missing or repeated; returns the last one."""
    count = 0
    for line in lines(history):
        match = COUNTER_LINE.fullmatch(line)
        assert match, f'not a line of the counter: {line!r} after {count}'
        if match['n']:
            assert int(match['n']) == count + 1, \
                f'counter {match["n"]} follows {count}'
            count += 1
        else:
            assert int(match['at']) == count, \
                f'checksum of {match["at"]} after counter {count}'
    return count


def join(first, second, fits=is_continuous):
    """One history from what two machines printed, the second taking over.

    The second may repeat the end of the first (M8).  It may neither leave
    anything out nor contradict it; then there is no such history.
    fits: whether one could be the guest's.
    """
    for repeated in range(min(len(first), len(second)), -1, -1):
        if first.endswith(second[:repeated]):
            whole = first + second[repeated:]
            if fits(whole):
                return whole
    raise AssertionError(
        'the two histories do not join: something was left out or differs.\n'
        f'the first ends in  {first[-80:]!r}\n'
        f'the second begins  {second[:80]!r}')


def last_count(machine):
    """The last whole number on a machine's serial line; 0: none."""
    for line in reversed(lines(text(machine))):
        if line.startswith('counter '):
            return int(line.split()[1])
    return 0


def wait_count(machine, above, timeout=20):
    """Waits until the counter is beyond a number; returns it."""
    def look():
        count = last_count(machine)
        return count if count > above else 0
    return wait_for(look, timeout, f'a count beyond {above} on the serial '
                    f'line of {machine.process.name}', machine.process)
