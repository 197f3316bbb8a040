#!/usr/bin/python3
"""Tap on a bridge: primary's host, backup's host and client on one LAN.

Each is a network namespace (ftlib.netns); the lease lies on the file system
that they share.  The client speaks with the guest all the time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, 'lib'))

from ftlib import guest, netns, rom  # noqa: E402
from ftlib.process import Process, wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

PORT = 7000
TAKEOVER_S = 5
LOST = 4
WHY_NOT = netns.usable()

# Runs in the client's namespace: one numbered UDP echo each 20 ms, the next
# when it is answered; and a look at what arrives on the cable.
CLIENT = r'''
import select, socket, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("10.0.2.15", 7))
number, sent = 0, 0
while True:
    if time.monotonic() - sent > 0.2:
        udp.send(b"%d" % number)
        sent = time.monotonic()
    for sock in select.select([wire, udp], [], [], 0.05)[0]:
        try:
            data = sock.recv(65536)
        except OSError:
            continue
        if sock is wire and data[12:14] == b"\x80\x35":
            print("rarp", data[6:12].hex(":"), flush=True)
        elif sock is udp and data == b"%d" % number:
            print("echo", number, flush=True)
            number, sent = number + 1, 0
            time.sleep(0.02)
'''

PING = r'''
import socket, struct, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sock.settimeout(0.5)
body = struct.pack("!HH", 7, 1) + b"ping" * 4
total = sum(struct.unpack("!10H", body)) + 0x0800
total = (total & 0xffff) + (total >> 16)
packet = struct.pack("!BBH", 8, 0, total ^ 0xffff) + body
for _ in range(10):
    sock.sendto(packet, ("10.0.2.15", 0))
    try:
        while True:
            data = sock.recv(2048)[20:]
            if data[0] == 0 and data[4:] == body:
                sys.exit(0)
    except socket.timeout:
        pass
sys.exit("no answer to a ping")
'''


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Tap(unittest.TestCase):
    def setUp(self):
        self.lan = netns.Lan()
        self.addCleanup(self.lan.close)
        self.a = self.lan.host('a', '10.0.2.101/24', tap='ft0')
        self.b = self.lan.host('b', '10.0.2.102/24', tap='ft0')
        self.c = self.lan.host('c', '10.0.2.103/24')
        self.pair = RomPair('echo', extra=rom.network_options(
            guest.network_tap('ft0')))
        self.addCleanup(self.pair.__exit__, None, None, None)

    def protect(self):
        pair = self.pair
        lease = f'lease=dir:{pair.lease}'
        pair.backup = pair.start_machine(
            'b', f'backup,listen=10.0.2.102:{PORT},{lease},node=b',
            prefix=self.b.prefix)
        pair.primary = pair.start_machine(
            'a', f'primary,peer=10.0.2.102:{PORT},{lease},node=a,new=on',
            prefix=self.a.prefix)
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        wait_for(lambda: 'echo ready' in rom.text(pair.primary), 20,
                 'that the guest is ready', pair.primary.process)

    def start_client(self):
        client = Process('client', [*self.c.prefix, sys.executable, '-c',
                                    CLIENT], self.pair.directory)
        self.addCleanup(client.end)
        return client

    def echoes(self, client):
        numbers = [int(line.split()[1]) for line in
                   client.output().splitlines() if line.startswith('echo ')]
        self.assertEqual(numbers, list(range(len(numbers))))
        return len(numbers)

    def wait_echoes(self, client, count):
        wait_for(lambda: self.echoes(client) >= count, 20,
                 f'{count} answers of the guest', client)

    def port_of_guest(self):
        """The cable behind which the LAN's bridge saw the guest last."""
        done = subprocess.run(
            ['bridge', '-n', self.lan.center, 'fdb', 'show', 'br', 'br0'],
            text=True, capture_output=True, check=True)
        for line in done.stdout.splitlines():
            words = line.split()
            if words[0] == rom.MAC:
                return words[words.index('dev') + 1]
        return None

    def test_takeover(self):
        self.protect()
        client = self.start_client()
        self.wait_echoes(client, 30)
        self.assertEqual(self.port_of_guest(), self.a.cable)
        self.assertNotIn('rarp', client.output())
        self.pair.primary.process.kill()
        self.pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        # The announcement moves the LAN's table, not the guest's next word.
        wait_for(lambda: f'rarp {rom.MAC}' in client.output(), TAKEOVER_S,
                 'the announcement of the guest\'s address', client)
        self.wait_echoes(client, self.echoes(client) + 30)
        self.assertEqual(self.port_of_guest(), self.b.cable)

    def test_backup_lost(self):
        self.protect()
        client = self.start_client()
        self.wait_echoes(client, 10)
        self.pair.backup.process.kill()
        self.pair.primary.wait_state('alone', timeout=TAKEOVER_S)
        self.wait_echoes(client, self.echoes(client) + 30)
        self.assertEqual(self.port_of_guest(), self.a.cable)
        self.assertNotIn('rarp', client.output())

    def test_cable_of_the_backup_is_pulled(self):
        self.protect()
        client = self.start_client()
        self.wait_echoes(client, 10)
        # A LAN cut: the lease decides.  The primary suspects first.
        self.lan.unplug(self.b)
        wait_for(lambda: self.pair.backup.process.poll() is not None or
                 self.pair.primary.process.poll() is not None, 10,
                 'that one of the two gives up')
        if self.pair.primary.process.poll() is None:
            self.assertEqual(self.pair.backup.process.poll(), LOST)
            self.wait_echoes(client, self.echoes(client) + 30)
        else:
            self.assertEqual(self.pair.primary.process.poll(), LOST)
            self.lan.replug(self.b)
            self.wait_echoes(client, self.echoes(client) + 30)

    def test_ping(self):
        self.protect()
        self.c.run(sys.executable, '-c', PING)
        self.pair.primary.process.kill()
        self.pair.backup.wait_state('alone', timeout=TAKEOVER_S)
        self.c.run(sys.executable, '-c', PING)


if __name__ == '__main__':
    unittest.main()
