"""A cpio archive in the "newc" form, which Linux takes as its initramfs.

Written here and not by cpio(1), so that device nodes need no privilege and
the same input gives the same bytes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import stat


class Archive:
    """Collects files; bytes() is the archive."""

    def __init__(self):
        self._chunks = []
        self._inode = 0
        self._names = set()

    def _pad(self, size):
        self._chunks.append(b'\0' * (-size % 4))

    def _entry(self, name, mode, data=b'', device=(0, 0)):
        raw = name.encode() + b'\0'
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0,
                  device[0], device[1], len(raw), 0)
        header = b'070701' + b''.join(b'%08X' % field for field in fields)
        self._chunks += [header, raw]
        self._pad(len(header) + len(raw))
        self._chunks.append(data)
        self._pad(len(data))

    def directory(self, name):
        """Adds a directory and those above it, once."""
        parts = name.strip('/').split('/')
        for end in range(1, len(parts) + 1):
            path = '/'.join(parts[:end])
            if path not in self._names:
                self._names.add(path)
                self._entry(path, stat.S_IFDIR | 0o755)

    def _parent(self, name):
        if '/' in name:
            self.directory(name.rsplit('/', 1)[0])

    def file(self, name, data, mode=0o644):
        self._parent(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self._parent(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def char_device(self, name, major, minor):
        self._parent(name)
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def bytes(self):
        tail = Archive()
        tail._entry('TRAILER!!!', 0)
        return b''.join(self._chunks + tail._chunks)
