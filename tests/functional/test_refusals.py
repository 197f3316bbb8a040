#!/usr/bin/python3
"""What can't be protected is refused by name, with what to use instead.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))

from ftlib import netns, paths, rom  # noqa: E402
from ftlib.process import wait_for  # noqa: E402
from ftlib.rom import RomPair  # noqa: E402

BOUND_S = 10

# The option on top of a machine that can be protected; words of the refusal.
MACHINES = [
    ('-smp 2', '2 vCPUs', '-smp 1'),
    ('-smp 1,maxcpus=2', '2 vCPUs', '-smp 1'),
    ('-M q35', 'q35', '-M pc'),
    ('-M microvm', 'microvm', '-M pc'),
    ('-accel kvm', 'kvm'),
    ('-rtc base=localtime', 'base=localtime', 'base=utc'),
    ('-rtc base=2020-01-01', 'base=2020-01-01', 'clock=vm'),
    ('-rtc clock=vm', 'clock=vm', 'clock=host'),
    ('-rtc clock=rt,base=2020-01-01', 'clock=rt', 'clock=host'),
    ('-rtc driftfix=slew', 'driftfix', 'leave it out'),
    ('-global PIIX4_PM.disable_s3=0', 'disable_s3=0', 'leave it out'),
    ('-global apic-common.vapic=on', 'kvmvapic', 'leave it out'),
    ('-icount auto', '-icount', 'shift=NUMBER'),
    ('-icount shift=3,sleep=off', '-icount', 'shift=NUMBER'),
    ('-icount shift=3,rr=record,rrfile=x', '-icount', 'shift=NUMBER'),
    ('-snapshot', '-snapshot'),
]
DEVICES = [
    ('-device e1000e,romfile=', 'e1000e', 'virtio-net-pci'),
    ('-device ne2k_pci,romfile=', 'ne2k_pci', 'virtio-net-pci'),
    ('-device rtl8139,romfile=', 'rtl8139', 'virtio-net-pci'),
    ('-drive if=floppy,file=d.raw,format=raw', 'floppy', 'virtio-blk'),
    ('-drive if=ide,file=d.raw,format=raw,bps=9000', 'bps=', 'leave it out'),
    ('-device isa-debug-exit', 'isa-debug-exit', 'leave it out'),
    ('-usb', 'piix3-usb-uhci', 'leave it out'),
    ('-device qemu-xhci', 'qemu-xhci', 'leave it out'),
    ('-device pvscsi', 'pvscsi', 'virtio-scsi-pci'),
    ('-device virtio-scsi-pci -blockdev null-co,read-zeroes=on,node-name=d '
     '-device scsi-generic,drive=d', 'scsi-generic'),
    ('-device nvme,serial=x,drive=d0 -drive '
     'if=none,id=d0,file=d.raw,format=raw', 'nvme', 'virtio-blk-pci'),
    ('-object rng-random,id=r -device virtio-rng-pci,rng=r', 'rng-random',
     'rng-builtin'),
    ('-device virtio-balloon-pci', 'virtio-balloon-pci', 'leave it out'),
    ('-device i6300esb', 'i6300esb', 'leave it out'),
    ('-vga cirrus', 'cirrus-vga', '-vga std'),
    ('-device virtio-gpu-pci', 'virtio-gpu-pci', '-vga std'),
]
BACKENDS = [
    ('-chardev file,id=s0,path=x,logfile=y -serial chardev:s0',
     "chardev 's0' has a logfile", 'leave it out'),
    ('-chardev udp,id=s0,host=127.0.0.1,port=1 -serial chardev:s0',
     'chardev-udp', 'use null, file, socket'),
    ('-serial mon:stdio', 'chardev-mux', '-monitor none'),
    ('-netdev hubport,id=n0,hubid=0 -device '
     'virtio-net-pci,netdev=n0,romfile=', 'a hub', '-nic none'),
]
FT = [
    ('boss', "'boss'", 'only primary, backup and replay'),
    ('primary', 'peer=HOST:PORT'),
    ('backup,peer=127.0.0.1:1,lease=dir:x', 'listen=HOST:PORT', 'no peer='),
    ('primary,peer=127.0.0.1:1', 'needs lease=URI'),
    ('primary,peer=127.0.0.1:1,lease=foo:x', 'lease=foo:x', 'lease=dir:PATH'),
    ('primary,peer=127.0.0.1:1,lease=dir:', 'lease=dir:PATH'),
    ('primary,peer=nowhere,lease=dir:x', 'nowhere'),
    ('primary,peer=unix:x,lease=dir:x', 'HOST:PORT'),
    ('primary,peer=127.0.0.1:99999,lease=dir:x', '99999'),
    ('primary,peer=127.0.0.1:1,lease=dir:x,node=', 'node='),
    ('primary,peer=127.0.0.1:1,lease=dir:x,node=a"b', 'node='),
    ('primary,peer=127.0.0.1:1,lease=dir:x,color=red', "'color'"),
    ('backup,listen=127.0.0.1:1,lease=dir:x,new=on', 'for the primary'),
    ('backup,listen=192.0.2.1:1,lease=dir:x', 'Cannot assign'),
    ('primary,peer=127.0.0.1:1,lease=dir:x,log=', 'the name of a file'),
    ('primary,peer=127.0.0.1:1,lease=dir:x,show=on', 'show= is for replay'),
    ('primary,peer=127.0.0.1:1,lease=dir:x,spool=1M', 'for a backup'),
    ('replay', 'needs log=FILE'),
    ('replay,log=none.log', "log 'none.log': No such file"),
    ('replay,log=d.raw', 'no log of a session'),
    ('replay,log=x,peer=127.0.0.1:1', 'replay takes no peer='),
    ('replay,log=x,lease=dir:x', 'replay takes no lease='),
    ('replay,log=x,stop-position=1,stop-instruction=2', 'one of them'),
]


class AtStart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        with open(os.path.join(cls.directory.name, 'd.raw'), 'wb') as file:
            file.truncate(1 << 20)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def start(self, *words):
        return subprocess.run(
            [paths.qemu(), *words], cwd=self.directory.name, timeout=BOUND_S,
            text=True, stdin=subprocess.DEVNULL, capture_output=True)

    def assert_refused(self, table):
        port = paths.free_port()
        for options, *said in table:
            with self.subTest(options):
                try:
                    done = self.start(
                        '-M', 'pc', '-nodefaults', '-display', 'none',
                        '-bios', rom.path('counter'), '-ft',
                        f'backup,listen=127.0.0.1:{port},lease=dir:lease',
                        *options.split())
                except subprocess.TimeoutExpired:
                    self.fail('it was not refused')
                self.assertEqual(done.returncode, 1, done.stderr)
                for text in said:
                    self.assertIn(text, done.stderr)

    def test_machines(self):
        self.assert_refused(MACHINES)

    def test_devices(self):
        self.assert_refused(DEVICES)

    def test_backends(self):
        self.assert_refused(BACKENDS)

    def test_ft_options(self):
        for options, *said in FT:
            with self.subTest(options):
                try:
                    done = self.start('-M', 'pc', '-nodefaults', '-display',
                                      'none', '-ft', options)
                except subprocess.TimeoutExpired:
                    self.fail('it was not refused')
                self.assertEqual(done.returncode, 1, done.stderr)
                for text in said:
                    self.assertIn(text, done.stderr)

    def test_ft_twice(self):
        words = ['-ft', 'primary,peer=127.0.0.1:1,lease=dir:x'] * 2
        done = self.start('-M', 'pc', '-display', 'none', *words)
        self.assertEqual(done.returncode, 1)
        self.assertIn('given twice', done.stderr)

    def test_help(self):
        done = self.start('-ft', 'help')
        self.assertEqual(done.returncode, 0)
        for word in ('primary', 'backup', 'peer=', 'listen=', 'lease=dir:PATH',
                     'new=on', 'node=', 'query-ft'):
            self.assertIn(word, done.stdout)
        self.assertIn('-ft', self.start('-help').stdout)

    @unittest.skipIf(netns.usable(), netns.usable())
    def test_vhost(self):
        if not os.path.exists('/dev/vhost-net'):
            self.skipTest('/dev/vhost-net is missing')
        with netns.Lan() as lan:
            host = lan.host('a', '10.77.0.1/24', tap='ft0')
            done = subprocess.run(
                [*host.prefix, paths.qemu(), '-M', 'pc', '-nodefaults',
                 '-display', 'none', '-netdev',
                 'tap,id=n0,ifname=ft0,script=no,downscript=no,vhost=on',
                 '-device', 'virtio-net-pci,netdev=n0,romfile=', '-ft',
                 'backup,listen=127.0.0.1:7000,lease=dir:x'],
                cwd=self.directory.name, timeout=BOUND_S, text=True,
                stdin=subprocess.DEVNULL, capture_output=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("'n0' uses vhost", done.stderr)
            self.assertIn('vhost=off', done.stderr)


def with_option(words, option, value):
    """The options with another value of one of them."""
    words = list(words)
    words[words.index(option) + 1] = value
    return words


class Differing(unittest.TestCase):
    """A pair that is none is refused on both sides, the difference named."""

    def assert_named(self, pair, key, words, node='b'):
        """The backup has words; afterwards a right backup pairs."""
        wrong = pair.start_other_backup('x', pair.listen_port, words, node)
        pair.start_primary()
        for machine, state in ((pair.primary, 'connecting'),
                               (wrong, 'listening')):
            status = wait_for(
                lambda m=machine: next(
                    (status for status in [m.query()]
                     if status['reason'] == 'peer-differs'), None),
                10, f'"peer-differs" of {machine.process.name}',
                machine.process)
            self.assertEqual(status['state'], state)
            self.assertIn(key, status['text'])
            self.assertIn('primary ', status['text'])
            self.assertRegex(machine.process.errors(),
                             f'ft: {state}: .*{key}.*: primary .*, backup ')
        self.assertEqual(rom.text(pair.primary), '')
        wrong.end()
        pair.start_backup()
        for machine in (pair.primary, pair.backup):
            machine.wait_state('protected')
        wait_for(lambda: rom.text(pair.primary), 10, 'output of the guest',
                 pair.primary.process)

    def test_memory(self):
        with RomPair('counter') as pair:
            self.assert_named(pair, 'machine.ram', with_option(
                pair.options, '-m', '32'))

    def test_cpu(self):
        with RomPair('counter') as pair:
            self.assert_named(pair, 'cpu', [
                *pair.options, '-cpu', 'max'])

    def test_cpu_feature(self):
        with RomPair('counter') as pair:
            self.assert_named(pair, 'cpu', [
                *pair.options, '-cpu', 'qemu64,-sse3'])

    def test_board(self):
        for words in (['-global', 'PIIX4_PM.disable_s4=1'],
                      ['-boot', 'menu=on'],
                      ['-no-shutdown'],
                      ['-fw_cfg', 'name=opt/test,string=x'],
                      ['-smbios', 'type=1,serial=x']):
            with self.subTest(words), RomPair('counter') as pair:
                self.assert_named(pair, '', pair.options + words)

    def test_missing_device(self):
        with RomPair('counter') as pair:
            words = list(pair.options)
            pair.options[len(pair.options):] = ['-device', 'VGA']
            self.assert_named(pair, 'device', words)

    def test_guest_image(self):
        with RomPair('counter') as pair:
            self.assert_named(pair, 'state.memory', with_option(
                pair.options, '-bios', rom.path('counter-halt')))

    def test_counting(self):
        with RomPair('counter') as pair:
            self.assert_named(pair, 'machine.icount-shift', [
                *pair.options, '-icount', 'shift=4'])

    def test_mac(self):
        netdev = ('dgram,id=n0,local.type=unix,local.path=net,'
                  'remote.type=unix,remote.path=peer')
        with RomPair('counter', extra=rom.network_options(netdev)) as pair:
            words = [word.replace(rom.MAC, '52:54:00:00:00:99')
                     for word in pair.options]
            self.assert_named(pair, 'mac', words)

    def test_disk_contents(self):
        with RomPair('counter', disk=True) as pair:
            pair.prepare_disks()
            self.assert_named(pair, 'contents', with_other_disk(pair))

    def test_disk_that_forgets(self):
        with RomPair('counter', disk=True) as pair:
            pair.prepare_disks()
            path = os.path.join(pair.directory, 'b', 'disk.raw')
            self.assert_named(pair, '.discard', [
                word.replace('file=disk.raw', f'discard=unmap,file={path}')
                for word in pair.options])

    def test_disk_size(self):
        with RomPair('counter', disk=True) as pair:
            pair.prepare_disks()
            self.assert_named(pair, 'disk.', with_other_disk(pair, 16))

    def test_kernel_command_line(self):
        with RomPair('counter') as pair:
            kernel = os.path.join(pair.directory, 'kernel')
            with open(kernel, 'wb') as file:
                file.write(bytes(1024))     # a boot sector will do
                file.seek(0x1fe)
                file.write(b'\x55\xaa')
                file.truncate(8192)
            pair.options[len(pair.options):] = ['-kernel', kernel,
                                                '-append', 'one']
            self.assert_named(pair, 'boot.append', with_option(
                pair.options, '-append', 'two'))

    def test_node_names(self):
        with RomPair('counter') as pair:
            wrong = pair.start_other_backup('x', pair.listen_port, node='a')
            pair.start_primary()
            for machine in (pair.primary, wrong):
                status = wait_for(
                    lambda m=machine: next(
                        (status for status in [m.query()]
                         if 'both machines' in status['text']), None),
                    10, f'a refusal by {machine.process.name}',
                    machine.process)
                self.assertIn('"a"', status['text'])
                self.assertIn('node=', status['text'])


def with_other_disk(pair, megabytes=rom.DISK_MB):
    other = os.path.join(pair.directory, 'other.raw')
    with open(other, 'wb') as file:
        file.truncate(megabytes << 20)
        file.seek(megabytes << 19)
        file.write(b'x')
    return [word.replace('file=disk.raw', f'file={other}')
            for word in pair.options]


class Order(unittest.TestCase):
    def test_backup_first(self):
        with RomPair('counter') as pair:
            pair.start_backup()
            status = pair.backup.wait_state('listening')
            self.assertEqual(status['role'], 'backup')
            pair.start_primary()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=10)
            rom.wait_count(pair.primary, 50)

    def test_backup_late(self):
        with RomPair('counter') as pair:
            pair.start_primary()
            status = wait_for(
                lambda: next((status for status in [pair.primary.query()]
                              if 'trying again' in status['text']), None),
                10, 'a try', pair.primary.process)
            self.assertEqual(status['state'], 'connecting')
            self.assertEqual(status['icount'], 0)
            self.assertIn('connecting', pair.primary.qmp.hmp('info ft'))
            self.assertEqual(rom.text(pair.primary), '')
            pair.start_backup()
            for machine in (pair.primary, pair.backup):
                machine.wait_state('protected', timeout=10)
            rom.wait_count(pair.primary, 50)
            rom.check_counter(rom.text(pair.primary))

    def test_query_of_a_protected_pair(self):
        """Every member of query-ft, on both sides."""
        with RomPair('counter') as pair:
            pair.protect()
            rom.wait_count(pair.primary, 50)
            wait_for(lambda: pair.primary.query()['log-rate'] and
                     pair.primary.query()['heartbeats'], 10, 'a log rate')
            first, second = pair.primary.query(), pair.backup.query()
            for status in (first, second):
                self.assertEqual(status['state'], 'protected')
                self.assertEqual(status['reason'], 'paired')
                self.assertTrue(status['text'])
                self.assertEqual(status['generation'], 1)
                self.assertEqual(status['lease'], {
                    'uri': f'dir:{pair.lease}', 'generation': 1,
                    'owner': 'a', 'partner': 'b'})
                self.assertGreater(status['icount'], 0)
                self.assertGreaterEqual(status['appended'], status['sent'])
                self.assertGreaterEqual(status['sent'],
                                        status['acknowledged'])
                self.assertGreaterEqual(status['acknowledged'],
                                        status['executed'])
                self.assertGreater(status['executed'], 0)
            self.assertEqual((first['role'], second['role']),
                             ('primary', 'backup'))
            self.assertEqual((first['node'], first['peer-node']), ('a', 'b'))
            self.assertEqual((second['node'], second['peer-node']),
                             ('b', 'a'))
            self.assertEqual(first['session'], second['session'])
            self.assertTrue(first['session'])
            for machine, words in (
                    (pair.primary, ('primary a: protected', 'peer: b')),
                    (pair.backup, ('backup b: protected', 'peer: a'))):
                text = machine.qmp.hmp('info ft')
                for word in (*words, 'heartbeats arrive', 'owner a',
                             'partner b', 'acknowledged', 'held outputs'):
                    self.assertIn(word, text)


if __name__ == '__main__':
    unittest.main()
