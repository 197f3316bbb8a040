"""configure and the build: every step again, every error with a next step.

A small stand-in for QEMU's tree makes these tests take seconds: its
configure writes a build.ninja that copies hooked and laid over files.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = {
    'VERSION': '10.0.7\n',
    'qemu-options.hx': '',
    'main.c': 'int main(void)\n{\n    return 0;\n}\n',
    'replay/replay.c': 'int replay;\n',
    'configure': '''#!/bin/sh
test ! -e "$(dirname "$0")/fails" || { echo "no such library"; exit 1; }
src=$(cd "$(dirname "$0")" && pwd)
cat >build.ninja <<END
rule join
  command = cat \\$in >\\$out
build qemu-system-x86_64: join $src/main.c $src/ft/new.c
build qemu-img: join $src/VERSION
build qemu-io: join $src/VERSION
build ft-log: join $src/VERSION
END
''',
}

HOOK = '''file: main.c

at: main
before: return 0;
why: the test looks for it
+    hooked();
'''


def write_tree(top, files):
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name == 'configure':
            path.chmod(0o755)


class ConfigureCase(unittest.TestCase):
    """A repository of our scripts, one hook and one file to lay over."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = Path(directory.name)
        self.repo, self.qemu = self.top / 'repo', self.top / 'qemu'
        self.build = self.repo / 'build'
        (self.repo / 'hooks').mkdir(parents=True)
        shutil.copy(ROOT / 'configure', self.repo)
        for path in (ROOT / 'hooks').glob('*.py'):
            shutil.copy(path, self.repo / 'hooks')
        write_tree(self.repo, {'hooks/main.hook': HOOK,
                               'ft/new.c': 'new\n',
                               'ft/README.md': 'not for the tree\n',
                               'meson.build': "project('stand-in')\n"})
        write_tree(self.qemu, STAND_IN)
        self.run_script('hooks/hooks.py', 'record', f'--source={self.qemu}')
        self.environment = {}

    def run_script(self, script, *args, status=0):
        environment = dict(os.environ, XDG_CACHE_HOME=str(self.top / 'cache'),
                           **getattr(self, 'environment', {}))
        done = subprocess.run(
            [self.repo / script, *args], text=True, cwd=self.repo,
            env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def configure(self, *args, **kwargs):
        return self.run_script('configure', *args, **kwargs)

    def make(self, **kwargs):
        return self.run_script('hooks/build.py', **kwargs)

    def assert_refused(self, *words, args=()):
        output = self.configure(*args, status=1)
        self.assertIn('configure: error:', output)
        self.assertNotIn('Traceback', output)
        for word in words:
            self.assertIn(word, output)

    def given(self):
        return f'--qemu-source={self.qemu}'


class Steps(ConfigureCase):
    def test_from_clean_to_binary_and_again(self):
        self.configure(self.given())
        self.assertIn('built from clean in 0:0', self.make())
        binary = self.build / 'qemu' / 'qemu-system-x86_64'
        self.assertIn('hooked();\n    return 0;', binary.read_text())
        self.assertIn('new\n', binary.read_text())
        self.assertFalse((self.build / 'src/ft/README.md').exists())
        before = binary.stat().st_mtime_ns
        self.assertIn('rebuilt in 0 s', self.make())
        self.assertEqual(binary.stat().st_mtime_ns, before)

    def test_the_given_tree_is_left_alone(self):
        self.configure(self.given())
        self.make()
        self.assertEqual(
            {str(path.relative_to(self.qemu)) for path
             in self.qemu.rglob('*') if path.is_file()}, set(STAND_IN))
        self.assertNotIn('hooked', (self.qemu / 'main.c').read_text())

    def test_edit_new_file_and_removed_file(self):
        self.configure(self.given())
        self.make()
        (self.repo / 'ft/new.c').write_text('edited\n')
        (self.repo / 'ft/more.c').write_text('more\n')
        self.make()
        self.assertIn('edited', (self.build / 'qemu/qemu-system-x86_64')
                      .read_text())
        self.assertEqual((self.build / 'src/ft/more.c').read_text(), 'more\n')
        (self.repo / 'ft/more.c').unlink()
        self.make()
        self.assertFalse(os.path.lexists(self.build / 'src/ft/more.c'))

    def test_changed_hook(self):
        self.configure(self.given())
        self.make()
        path = self.repo / 'hooks/main.hook'
        path.write_text(path.read_text().replace('hooked', 'changed'))
        self.make()
        text = (self.build / 'qemu/qemu-system-x86_64').read_text()
        self.assertIn('changed();', text)
        self.assertNotIn('hooked();', text)

    def test_tarball(self):
        tarball = self.top / 'qemu-10.0.7.tar.xz'
        subprocess.run(['tar', '-cJf', tarball, '-C', self.top, 'qemu'],
                       check=True)
        self.configure(f'--qemu-source={tarball}')
        self.assertIn('built from clean', self.make())

    def test_options_are_remembered_after_a_failure(self):
        hook = self.repo / 'hooks/main.hook'
        good = hook.read_text()
        hook.write_text(good.replace('return 0;', 'gone;'))
        self.configure(self.given(), status=1)
        hook.write_text(good)
        # Without them this would look for Debian's archive.
        self.assertIn('built from clean', self.make())

    def test_interrupted_unpacking(self):
        (self.build / 'src.new').mkdir(parents=True)
        (self.build / 'src.new/half').write_text('')
        self.configure(self.given())
        self.assertFalse((self.build / 'src/half').exists())
        self.assertFalse((self.build / 'src.new').exists())

    def test_interrupted_build_is_taken_up(self):
        self.configure(self.given())
        self.make()
        (self.build / 'qemu/qemu-system-x86_64').unlink()
        self.assertIn('build taken up again and finished', self.make())

    def test_moved_directory(self):
        self.configure(self.given())
        self.make()
        moved = self.top / 'moved'
        self.repo.rename(moved)
        self.repo = moved
        self.make()

    def test_another_build_directory(self):
        self.configure(self.given(), f'--build-dir={self.top}/other')
        self.assertTrue((self.top / 'other/qemu/build.ninja').is_file())
        self.assertFalse(self.build.exists())


class Errors(ConfigureCase):
    def test_source_that_does_not_exist(self):
        self.assert_refused("'/nowhere/qemu' does not exist",
                            'check --qemu-source',
                            args=['--qemu-source=/nowhere/qemu'])

    def test_source_that_is_no_qemu(self):
        (self.qemu / 'VERSION').unlink()
        self.assert_refused('holds no QEMU source tree', args=[self.given()])

    def test_file_that_is_no_tarball(self):
        path = self.qemu / 'VERSION'
        self.assert_refused('no QEMU tree, no tarball and no .dsc',
                            args=[f'--qemu-source={path}'])

    def test_unknown_version(self):
        (self.qemu / 'VERSION').write_text('9.2.4\n')
        self.assert_refused('is QEMU 9.2.4', '10.0.x only',
                            args=[self.given()])

    def test_hook_that_does_not_apply(self):
        text = STAND_IN['main.c'].replace('return 0;', 'return exit_code();')
        (self.qemu / 'main.c').write_text(text)
        self.assert_refused('main.hook:3 (main.c, main())', "'return 0;'",
                            'choose another anchor', args=[self.given()])
        self.assertEqual((self.build / 'src/main.c').read_text(), text)

    def test_file_that_upstream_has_too(self):
        write_tree(self.repo, {'replay/replay.c': 'ours\n'})
        self.assert_refused('replay/replay.c is a file of QEMU too',
                            args=[self.given()])
        self.assertEqual((self.build / 'src/replay/replay.c').read_text(),
                         'int replay;\n')

    def test_edit_in_the_build_tree_is_not_lost(self):
        self.configure(self.given())
        path = self.build / 'src/ft/new.c'
        path.unlink()
        path.write_text('saved by an editor\n')
        self.assert_refused('ft/new.c', 'is no link any more', args=['--again'])
        self.assertEqual(path.read_text(), 'saved by an editor\n')

    def test_configure_of_qemu_fails(self):
        (self.qemu / 'fails').write_text('')
        self.assert_refused('no such library', 'make deps',
                            args=[self.given()])

    def test_compiler_error_is_shown(self):
        self.configure(self.given())
        (self.repo / 'ft/new.c').unlink()
        output = self.make(status=1)
        self.assertIn('new.c', output)
        self.assertIn('build: error:', output)

    def test_no_network(self):
        started = time.monotonic()
        self.assert_refused('check the network', '--qemu-source=PATH',
                            args=['--mirror=http://127.0.0.1:9/debian'])
        self.assertLess(time.monotonic() - started, 60)

    def test_missing_tool(self):
        tools = self.top / 'bin'
        tools.mkdir()
        for name in ('python3', 'apt-get', 'sh'):
            (tools / name).symlink_to(shutil.which(name))
        self.environment = {'PATH': str(tools)}
        self.assert_refused('dpkg-source is missing', 'dpkg-dev', 'make deps')

    def test_again_without_a_first_time(self):
        self.assert_refused('is not configured', args=['--again'])


class Packages(unittest.TestCase):
    """What make deps says, with stand-ins for dpkg-query and apt-get."""

    def run_deps(self, query, *args, user=True):
        with tempfile.TemporaryDirectory() as directory:
            tools = Path(directory)
            scripts = {'dpkg-query': query, 'apt-get': 'exit 99',
                       'id': f'echo {1000 if user else 0}'}
            for name, text in scripts.items():
                (tools / name).write_text(f'#!/bin/sh\n{text}\n')
                (tools / name).chmod(0o755)
            for name in ('sh', 'env', 'mktemp', 'rm'):
                (tools / name).symlink_to(shutil.which(name))
            done = subprocess.run(
                ['sh', ROOT / 'hooks/deps.sh', *args], text=True,
                env={'PATH': directory}, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT)
            return done.returncode, done.stdout

    def test_nothing_missing(self):
        status, output = self.run_deps('printf installed')
        self.assertEqual(status, 0, output)

    def test_missing_without_root(self):
        status, output = self.run_deps(
            'for a; do :; done; [ $a = libslirp-dev ] || printf installed')
        self.assertEqual(status, 1)
        self.assertIn('apt-get install libslirp-dev', output)

    def test_check_installs_nothing(self):
        status, output = self.run_deps('exit 1', '--check', user=False)
        self.assertEqual(status, 1)
        self.assertIn('missing:', output)

    def test_apt_that_fails(self):
        status, output = self.run_deps('exit 1', user=False)
        self.assertEqual(status, 1)
        self.assertIn("apt-get couldn't install", output)


if __name__ == '__main__':
    unittest.main()
