"""The Linux guest: its image, its disk and the QEMU options that go with it.

Parameters for the guest's kernel command line (tests/guest/init):
  ft.job=redis   redis-server on port 6379, every write synchronous (default)
         bench   redis, httpd on port 80, TCP on 5001 and 5002, and the jobs
                 below when they are pushed to the list bench:jobs
         idle    nothing; FT-GUEST READY on the serial line
         soak    redis, and ft.size blocks (64) written again and again until
                 the key soak:end is 1; then redis is shut down
         readback
                 redis, and a file that is written and read back from the disk
                 again and again; FT-GUEST ERROR if it differs
         clock   READY, then "FT-GUEST CLOCK uptime" each ft.size seconds (1)
                 beside ft.load=idle, busy, mixed
         tick    READY, then "FT-GUEST TICK n" each ft.size seconds (1)
         md5, forks, write, read, reads, sleep, all
                 a fixed job between "FT-GUEST JOB name start uptime" and
                 "... end uptime"; ft.size changes its length
  ft.net=static (10.0.2.15/24), dhcp
  ft.end=stay, poweroff, reboot, shell     what follows the job

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys

from . import FtError, paths

# no_timer_check: a busy host makes the guest doubt its timer while it boots.
KERNEL = 'console=ttyS0 quiet tsc=reliable no_timer_check panic=-1'
MEMORY_MB = 192
DISK_MB = 64
ADDRESS = '10.0.2.15'
REDIS_PORT = 6379
MAC = '52:54:00:12:34:56'
READY = 'FT-GUEST READY'
_image = None


def said_since_boot(text, boots):
    """Of a serial line's text: what came since the last of so many boots."""
    return text[text.rindex(READY):] if text.count(READY) >= boots else ''


def image():
    """Directory with vmlinuz and initramfs.cpio; built when it has to be."""
    global _image
    if not _image:
        build = os.path.join(paths.ROOT, 'tests', 'guest', 'build.py')
        done = subprocess.run([sys.executable, build], text=True,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE)
        if done.returncode:
            raise FtError('the test guest could not be built (see above)')
        _image = done.stdout.strip()
    return _image


def versions():
    """Debian's version of each package in the image, by name."""
    with open(os.path.join(image(), 'versions.txt'),
              encoding='ascii') as file:
        return dict(line.split() for line in file)


def make_disk(path):
    """An empty ext4 file system in a raw file; nothing left to lazy work."""
    with open(path, 'wb') as file:
        file.truncate(DISK_MB << 20)
    try:
        done = subprocess.run(
            ['/sbin/mke2fs', '-q', '-F', '-t', 'ext4', '-E',
             'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0', path],
            text=True, capture_output=True)
    except FileNotFoundError:
        raise FtError('mke2fs is missing: install e2fsprogs') from None
    if done.returncode:
        raise FtError(f'mke2fs: {done.stderr.strip()}')


def copy_disk(source, target):
    subprocess.run(['cp', '--sparse=always', '--reflink=auto', source, target],
                   check=True)


def network_switch(socket_path):
    """-netdev value for a port of ft-switch."""
    return f'stream,id=n0,server=off,addr.type=unix,addr.path={socket_path}'


def network_tap(ifname):
    """-netdev value for a tap that exists already (ftlib.netns)."""
    return f'tap,id=n0,ifname={ifname},script=no,downscript=no'


def options(netdev=None, disk='disk.raw', append='', serial='serial.log',
            memory_mb=MEMORY_MB):
    """QEMU options; relative paths are relative to QEMU's directory."""
    words = [
        '-nodefaults', '-display', 'none', '-machine', 'pc,hpet=off',
        '-m', str(memory_mb),
        '-kernel', os.path.join(image(), 'vmlinuz'),
        '-initrd', os.path.join(image(), 'initramfs.cpio'),
        '-append', f'{KERNEL} {append}',
        '-chardev', f'file,id=s0,path={serial}', '-serial', 'chardev:s0',
    ]
    if disk:
        words += ['-drive', f'file={disk},format=raw,if=none,id=d0',
                  '-device', 'virtio-blk-pci,drive=d0']
    if netdev:
        words += ['-netdev', netdev, '-device',
                  f'virtio-net-pci,netdev=n0,mac={MAC},romfile=']
    return words
