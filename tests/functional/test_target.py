"""The iSCSI targets that other tests stand on (ftlib.target).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, 'lib'))
from ftlib import paths
from ftlib.target import MIB, Chap, Istgt, Tgt

LUNS = {'lease': MIB, 'disk': 2 * MIB}
COMMAND_S = 60


def image(target, lun, login='', write=None):
    """The LUN's bytes, or they become those of the file write."""
    copy = os.path.join(target.directory, 'copy')
    uri = target.uri(lun, login)
    words = ['-n', write, uri] if write else [uri, copy]
    done = subprocess.run(
        [paths.qemu_img(), 'convert', '-f', 'raw', '-O', 'raw', *words],
        text=True, capture_output=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        raise OSError(done.stderr)
    if write:
        return None
    with open(copy, 'rb') as file:
        return file.read()


class Common:
    def test_bytes_outlive_a_kill(self):
        with self.make(LUNS) as target:
            content = os.urandom(2 * MIB)
            name = os.path.join(target.directory, 'content')
            with open(name, 'wb') as file:
                file.write(content)
            image(target, 'disk', write=name)
            target.restart()
            self.assertEqual(image(target, 'disk'), content)
            self.assertEqual(image(target, 'lease'), bytes(MIB))

    def test_runs_as_an_ordinary_user(self):
        with self.make(LUNS) as target:
            self.assertNotEqual(os.stat(f'/proc/{target.pid}').st_uid, 0)

    def test_pause_stops_answers_and_resume_gives_them(self):
        with self.make(LUNS) as target:
            target.pause()
            argv = [paths.qemu_img(), 'info', target.uri('lease')]
            with subprocess.Popen(argv, stdout=subprocess.PIPE) as reader:
                with self.assertRaises(subprocess.TimeoutExpired):
                    reader.wait(0.5)
                target.resume()
                self.assertIn(b'1 MiB', reader.communicate(
                    timeout=COMMAND_S)[0])

    def test_asks_for_a_password(self):
        with self.make(LUNS, chap=Chap('user', 'secretsecret')) as target:
            self.assertEqual(image(target, 'lease', 'user%secretsecret@'),
                             bytes(MIB))
            with self.assertRaisesRegex(OSError, 'uthentication'):
                image(target, 'lease', 'user%secretsecreT@')


class TgtTest(Common, unittest.TestCase):
    make = Tgt


class IstgtTest(Common, unittest.TestCase):
    make = Istgt


if __name__ == '__main__':
    unittest.main()
