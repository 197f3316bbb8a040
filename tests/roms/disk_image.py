#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks an image that roms/disk.c wrote to: every sector is either as it was
(zero) or one the guest made, with the right address and checksum.

    tests/roms/disk_image.py IMAGE
"""

import argparse
import struct
import sys

SECTOR_SIZE = 512
REGION_SECTORS_MAX = 8192
MAGIC = 0x444d4f52
WORDS = struct.Struct('<128I')


class DiskImage:
    """What is in an image: sequences[lba] (0: never written), bad[lba]."""

    def __init__(self, path):
        self.sequences = {}
        self.bad = {}
        with open(path, 'rb') as image:
            for lba in range(REGION_SECTORS_MAX):
                sector = image.read(SECTOR_SIZE)
                if len(sector) < SECTOR_SIZE:
                    break
                self._add(lba, sector)

    def _add(self, lba, sector):
        words = WORDS.unpack(sector)
        if not any(words):
            self.sequences[lba] = 0
        elif words[0] != MAGIC:
            self.bad[lba] = f'starts with {words[0]:#x}, not {MAGIC:#x}'
        elif words[-1] != checksum(words[:-1]):
            self.bad[lba] = 'its checksum is wrong'
        elif words[2] != lba:
            self.bad[lba] = f'was written for sector {words[2]}'
        else:
            self.sequences[lba] = words[1]

    def written(self):
        return sum(1 for sequence in self.sequences.values() if sequence)


def checksum(words):
    total = 0
    for word in words:
        total = (total << 1 & 0xffffffff | total >> 31) ^ word
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('image')
    args = parser.parse_args()
    try:
        image = DiskImage(args.image)
    except OSError as error:
        sys.exit(f'{args.image}: {error.strerror}; name a raw image that '
                 'disk.rom has run on')
    for lba, why in image.bad.items():
        print(f'sector {lba}: {why}')
    print(f'{image.written()} sectors written, {len(image.bad)} bad, newest '
          f'write {max(image.sequences.values(), default=0)}')
    return 1 if image.bad else 0


if __name__ == '__main__':
    sys.exit(main())
