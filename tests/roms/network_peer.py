# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of a guest's cable: Ethernet frames on a unix socket."""

import os
import socket
import struct

OWN_MAC = bytes.fromhex('525400aabb01')
OWN_IP = bytes([10, 0, 2, 2])
GUEST_IP = bytes([10, 0, 2, 15])
BROADCAST = b'\xff' * 6
TYPE_ARP = 0x0806
TYPE_IPV4 = 0x0800
ICMP = 1
UDP = 17


def internet_checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ethernet(to, kind, payload):
    return to + OWN_MAC + struct.pack('>H', kind) + payload


def arp_request(target=GUEST_IP):
    return ethernet(BROADCAST, TYPE_ARP, struct.pack(
        '>HHBBH6s4s6s4s', 1, TYPE_IPV4, 6, 4, 1, OWN_MAC, OWN_IP, bytes(6),
        target))


def ipv4(to_mac, protocol, payload, to_ip=GUEST_IP):
    header = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 1, 0,
                         64, protocol, 0, OWN_IP, to_ip)
    header = (header[:10] + struct.pack('>H', internet_checksum(header)) +
              header[12:])
    return ethernet(to_mac, TYPE_IPV4, header + payload)


def udp(to_mac, port, data, from_port=4000, to_ip=GUEST_IP):
    size = 8 + len(data)
    pseudo = OWN_IP + to_ip + struct.pack('>BBH', 0, UDP, size)
    header = struct.pack('>HHH', from_port, port, size)
    check = internet_checksum(pseudo + header + b'\0\0' + data) or 0xffff
    return ipv4(to_mac, UDP, header + struct.pack('>H', check) + data, to_ip)


def ping(to_mac, data):
    message = struct.pack('>BBHHH', 8, 0, 0, 7, 1) + data
    check = struct.pack('>H', internet_checksum(message))
    return ipv4(to_mac, ICMP, message[:2] + check + message[4:])


class Udp:
    """A received UDP packet; its checksums were right."""

    def __init__(self, frame):
        header = frame[14:34]
        if internet_checksum(header):
            raise AssertionError('the IP header checksum is wrong')
        size = struct.unpack('>H', header[2:4])[0]
        packet = frame[34:14 + size]
        self.from_port, self.to_port, udp_size, check = struct.unpack(
            '>HHHH', packet[:8])
        pseudo = header[12:20] + struct.pack('>BBH', 0, UDP, udp_size)
        if udp_size != len(packet):
            raise AssertionError(f'UDP size {udp_size}, IP {len(packet)}')
        if check and internet_checksum(pseudo + packet):
            raise AssertionError('the UDP checksum is wrong')
        self.data = packet[8:]


class NetworkPeer:
    """options: for QEMU, with the card behind netdev n0."""

    def __init__(self, directory, timeout_s, device='virtio-net-pci'):
        own = os.path.join(directory, 'peer.sock')
        self._qemu = os.path.join(directory, 'qemu.sock')
        for path in (own, self._qemu):
            if os.path.exists(path):
                os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(timeout_s)
        self._socket.bind(own)
        self.options = [
            '-netdev', 'dgram,id=n0,local.type=unix,local.path='
            f'{self._qemu},remote.type=unix,remote.path={own}',
            '-device',
            f'{device},netdev=n0,mac=52:54:00:aa:bb:02,romfile=']

    def close(self):
        self._socket.close()

    def send(self, frame):
        self._socket.sendto(frame, self._qemu)

    def receive(self):
        return self._socket.recv(65536)
