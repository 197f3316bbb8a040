#!/usr/bin/python3
# Applies hooks: anchored insertions into upstream's files.
#
# Purpose: what this project has to add inside an upstream file is described
#   in hooks/*.hook by place (file, function, anchor line), so that no line of
#   upstream is kept here except the anchors.  hooks/README.md has the format.
# State: the tree's own text of a hooked file is kept in SOURCE/.ft-pristine/,
#   so that a changed hook set can be applied again without unpacking.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import difflib
import hashlib
import os
import re
import sys
from pathlib import Path

HOOKS_DIR = Path(__file__).resolve().parent
PRISTINE = '.ft-pristine'
APPLIED = 'applied'         # in PRISTINE: digest and path of each result
DIGEST_CHARS = 16
ADDED_LINES_MAX = 400
REPLAY_LINES_MAX = 150      # more than that, and the engine is written anew
CONTEXT_LINES = 2           # around an anchor at file scope, for its digest


class HookError(Exception):
    """What is wrong with one hook, with the next step."""


class Hook:
    """One insertion: where, what, why."""

    def __init__(self, path, line):
        self.path, self.line = path, line
        self.file = self.at = None
        self.side = None        # 'after' or 'before'
        self.anchor = []        # text of consecutive lines
        self.why = []
        self.added = []
        self.digests = []
        self.digest_line = None     # index in the hook file, or None
        self.last_line = line       # where a digest line goes

    def place(self):
        function = '' if self.at == '-' else f', {self.at}()'
        return f'{self.path.name}:{self.line} ({self.file}{function})'

    def error(self, text):
        return HookError(f'{self.place()}: {text}')


def parse_hooks(path):
    """The hooks of one file, in order."""
    hooks, file = [], None

    def fail(number, text):
        raise HookError(f'{path.name}:{number}: {text}; '
                        'hooks/README.md has the format')

    for index, line in enumerate(path.read_text().split('\n')):
        number = index + 1
        hook = hooks[-1] if hooks else None
        if line.startswith('+'):
            if hook is None:
                fail(number, "an added line ('+') before the first 'at:'")
            hook.added.append(line[1:])
            hook.last_line = number
            continue
        text = line.strip()
        if not text or text.startswith('#'):
            continue
        key, colon, value = text.partition(':')
        value = value.strip()
        if not colon or not value:
            fail(number, f"'{text}' is neither 'key: value' nor a line "
                         "to add (those begin with '+')")
        if key == 'file':
            file = value
            continue
        if key == 'at':
            if file is None:
                fail(number, "'at:' before 'file:'")
            hook = Hook(path, number)
            hook.file, hook.at = file, value
            hooks.append(hook)
            continue
        if hook is None:
            fail(number, f"'{key}:' before the first 'at:'")
        hook.last_line = number
        if key in ('after', 'before'):
            if hook.side not in (None, key):
                fail(number, "one hook has both 'after:' and 'before:'")
            hook.side = key
            hook.anchor.append(value)
        elif key == 'why':
            hook.why.append(value)
        elif key == 'digest':
            hook.digests += value.split()
            hook.digest_line = index
        else:
            fail(number, f"unknown key '{key}'")
    for hook in hooks:
        for value, what in ((hook.anchor, "'after:' or 'before:'"),
                            (hook.why, "'why:'"),
                            (hook.added, "lines to add ('+')")):
            if not value:
                raise hook.error(f'has no {what}; add it')
    return hooks


def load_hooks(directory):
    hooks = []
    for path in sorted(directory.glob('*.hook')):
        hooks += parse_hooks(path)
    return hooks


def strip_literals(text):
    """Blanks comments, strings and characters of one line of C."""
    return re.sub(r'/\*.*?\*/|//.*|"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', ' ',
                  text)


def body_follows(lines, index):
    """Does the parameter list that begins at index end in a body?"""
    depth, seen = 0, False
    for line in lines[index:index + 40]:
        for char in strip_literals(line):
            if char == '(':
                depth, seen = depth + 1, True
            elif char == ')':
                depth -= 1
            elif seen and depth == 0:
                if char == '{':
                    return True
                if char in ';=,':
                    return False
    return False


def find_functions(lines, name):
    """[start, end) of each definition of a C function at column 0."""
    found = []
    call = re.compile(r'^(?![#\s/*}])(.*[\s*])?' + re.escape(name) + r'\s*\(')
    for index, line in enumerate(lines):
        if not call.match(line) or not body_follows(lines, index):
            continue
        start = index
        # The return type may stand on the line above.
        if index and re.match(r'^\w+\s*\(', line) \
                and re.match(r'^[A-Za-z_][\w\s*]*$', lines[index - 1]):
            start -= 1
        for end in range(index + 1, len(lines)):
            if lines[end].startswith('}'):
                found.append((start, end + 1))
                break
    return found


class Place:
    """Where a hook goes in the pristine lines of its file."""

    def __init__(self, hook, lines):
        start, end = 0, len(lines)
        if hook.at != '-':
            start, end = self.find_function(hook, lines)
        first = self.find_anchor(hook, lines, start, end)
        last = first + len(hook.anchor)
        self.insert = last if hook.side == 'after' else first
        if hook.at == '-':
            start = max(0, first - CONTEXT_LINES)
            end = min(len(lines), last + CONTEXT_LINES)
        text = '\n'.join(lines[start:end])
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]

    @staticmethod
    def find_function(hook, lines):
        found = find_functions(lines, hook.at)
        if not found:
            raise hook.error(
                f'there is no function {hook.at}() in this version of '
                f"{hook.file}; find where its code went and set 'at:'")
        if len(found) > 1:
            where = ', '.join(str(start + 1) for start, _ in found)
            raise hook.error(
                f'{hook.file} defines {hook.at}() more than once (lines '
                f"{where}); use 'at: -' with an anchor that is unique")
        return found[0]

    @staticmethod
    def find_anchor(hook, lines, start, end):
        size = len(hook.anchor)
        found = [i for i in range(start, end - size + 1)
                 if all(want in lines[i + k]
                        for k, want in enumerate(hook.anchor))]
        if len(found) == 1:
            return found[0]
        text = ' / '.join(hook.anchor)
        scope = hook.file if hook.at == '-' else f'{hook.at}()'
        if not found:
            raise hook.error(
                f"the anchor '{text}' is not in {scope} (lines {start + 1} "
                f"to {end}); read it there and choose another anchor")
        where = ', '.join(str(i + 1) for i in found)
        raise hook.error(
            f"the anchor '{text}' is in {scope} {len(found)} times (lines "
            f"{where}); make it longer, or repeat '{hook.side}:' for the "
            'lines that follow')


class Tree:
    """An upstream tree, pristine or with hooks applied earlier."""

    def __init__(self, source):
        self.source = Path(source)
        self.kept = self.source / PRISTINE
        if not (self.source / 'VERSION').is_file():
            raise HookError(f"'{source}' is no QEMU source tree (it has no "
                            'file VERSION); pass one with --source=DIR')
        self.version = (self.source / 'VERSION').read_text().strip()
        self.applied = {}       # path -> digest of the result written last
        if (self.kept / APPLIED).is_file():
            for line in (self.kept / APPLIED).read_text().splitlines():
                digest, _, path = line.partition(' ')
                self.applied[path] = digest

    def pristine(self, file, who):
        """Upstream's own text of a file."""
        path = self.source / file
        if not path.is_file():
            raise HookError(f'{who}: QEMU {self.version} has no file {file}; '
                            "find where its code went and set 'file:'")
        kept = self.kept / file
        return (kept if kept.is_file() else path).read_text()

    def hand_edited(self, file):
        """Did somebody edit a hooked file in the tree since?"""
        if file not in self.applied:
            return False
        text = (self.source / file).read_bytes()
        return text_digest(text) != self.applied[file] \
            and text != (self.kept / file).read_bytes()


def text_digest(data):
    return hashlib.sha256(data).hexdigest()


def write_if_changed(path, text):
    """Leaves the file, and its time, alone when it has this text."""
    if path.is_file() and path.read_text() == text:
        return False
    temporary = path.with_name(path.name + '.ft-new')
    temporary.write_text(text)
    if path.exists():
        temporary.chmod(path.stat().st_mode)
    os.replace(temporary, path)
    return True


def resolve(tree, hooks, check_digest=True):
    """file -> (pristine text, hooked text); every error at once."""
    errors, texts, inserts = [], {}, {}
    new = [hook for hook in hooks if check_digest and not hook.digests]
    if new:
        names = sorted({hook.path.name for hook in new})
        errors.append(
            f'{len(new)} hooks have no digest, in {", ".join(names)}; see '
            'that each is where it belongs (hooks/hooks.py diff), then run '
            f'hooks/hooks.py record --source {tree.source}')
    for hook in hooks:
        try:
            if hook.file not in texts:
                texts[hook.file] = tree.pristine(hook.file, hook.place())
            place = Place(hook, texts[hook.file].split('\n'))
            if check_digest and hook.digests:
                check_place(tree, hook, place)
            inserts.setdefault(hook.file, []).append((place.insert, hook))
        except HookError as error:
            errors.append(str(error))
    if errors:
        raise HookError('\n'.join(errors))
    result = {}
    for file, places in inserts.items():
        lines = texts[file].split('\n')
        # From the end, so that earlier indexes hold; order kept within one.
        for insert, hook in reversed(sorted(places, key=lambda p: p[0])):
            lines[insert:insert] = hook.added
        result[file] = texts[file], '\n'.join(lines)
    return result


def check_place(tree, hook, place):
    if place.digest in hook.digests:
        return
    what = "the anchor's surroundings" if hook.at == '-' else f'{hook.at}()'
    raise hook.error(
        f'{what} in QEMU {tree.version} is not what it was when a person '
        f'last looked (now {place.digest}); read it in {hook.file}, see that '
        'the hook is still right there, then run '
        f'hooks/hooks.py record --source {tree.source}')


def command_apply(tree, hooks, args):
    result = resolve(tree, hooks)
    edited = [file for file in tree.applied if tree.hand_edited(file)]
    if edited and not args.force:
        raise HookError(
            'edited by hand in the tree since hooks were applied: '
            + ', '.join(edited) + f'; move the edit to {HOOKS_DIR} (or to a '
            'file of this project), then run apply with --force, which '
            'drops it')
    changed = 0
    # Pristine copies first: from here on an interruption loses nothing.
    for file, (before, _) in result.items():
        (tree.kept / file).parent.mkdir(parents=True, exist_ok=True)
        write_if_changed(tree.kept / file, before)
    for file in set(tree.applied) - set(result):
        text = (tree.kept / file).read_text()
        changed += write_if_changed(tree.source / file, text)
    for file, (_, after) in result.items():
        changed += write_if_changed(tree.source / file, after)
    if tree.kept.is_dir():
        write_if_changed(tree.kept / APPLIED, ''.join(
            f'{text_digest(after.encode())} {file}\n'
            for file, (_, after) in sorted(result.items())))
    print(f'hooks: {len(hooks)} applied to {len(result)} files of QEMU '
          f'{tree.version}, {changed} files changed')


def command_check(tree, hooks, args):
    result = resolve(tree, hooks)
    print(f'hooks: {len(hooks)} fit {len(result)} files of QEMU '
          f'{tree.version}')


def command_diff(tree, hooks, args):
    for file, (before, after) in resolve(tree, hooks, False).items():
        sys.stdout.writelines(difflib.unified_diff(
            before.splitlines(True), after.splitlines(True),
            f'a/{file}', f'b/{file}'))


def command_record(tree, hooks, args):
    resolve(tree, hooks, False)
    recorded, replaced = 0, {}
    for hook in hooks:
        lines = tree.pristine(hook.file, hook.place()).split('\n')
        digest = Place(hook, lines).digest
        digests = [] if args.replace else list(hook.digests)
        if digest not in digests:
            digests.append(digest)
        if digests != hook.digests:
            replaced.setdefault(hook.path, []).append((hook, digests))
            recorded += 1
    for path, changes in replaced.items():
        lines = path.read_text().split('\n')
        for hook, digests in reversed(changes):
            line = 'digest: ' + ' '.join(digests)
            if hook.digest_line is None:
                lines.insert(hook.last_line, line)
            else:
                lines[hook.digest_line] = line
        path.write_text('\n'.join(lines))
    print(f'hooks: {recorded} digests recorded for QEMU {tree.version}, '
          f'{len(hooks) - recorded} were right')


def command_count(hooks):
    files = {}
    for hook in hooks:
        files[hook.file] = files.get(hook.file, 0) + len(hook.added)
    for file, count in sorted(files.items()):
        print(f'{count:5} {file}')
    total = sum(files.values())
    replay = sum(n for file, n in files.items() if file.startswith('replay/'))
    print(f'{replay:5} in replay/, of at most {REPLAY_LINES_MAX}')
    print(f'{total:5} added lines in all, of at most {ADDED_LINES_MAX}')
    for count, limit, what in ((total, ADDED_LINES_MAX, 'all'),
                               (replay, REPLAY_LINES_MAX, 'replay/')):
        if count > limit:
            raise HookError(
                f'{count} added lines in {what} are more than {limit}; move '
                'code to a file of this project and leave one call a site')


COMMANDS = {
    'apply': (command_apply, 'check every hook, then edit the tree'),
    'check': (command_check, 'check every hook, edit nothing'),
    'diff': (command_diff, 'print the hooked tree as a diff'),
    'record': (command_record, 'record digests, after a person looked'),
}


def main():
    parser = argparse.ArgumentParser(
        description='Hooks: anchored insertions into upstream QEMU.')
    parser.add_argument('--hooks', type=Path, default=HOOKS_DIR,
                        metavar='DIR', help='where the *.hook files are')
    commands = parser.add_subparsers(dest='command', required=True)
    for name, (_, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text)
        sub.add_argument('--source', required=True, metavar='DIR',
                         help='QEMU source tree, pristine or applied to')
        if name == 'apply':
            sub.add_argument('--force', action='store_true',
                             help='drop edits made by hand in the tree')
        if name == 'record':
            sub.add_argument('--replace', action='store_true',
                             help="drop other versions' digests")
    commands.add_parser('count', help='count added lines, against the limit')
    args = parser.parse_args()
    try:
        hooks = load_hooks(args.hooks)
        if args.command == 'count':
            command_count(hooks)
        else:
            COMMANDS[args.command][0](Tree(args.source), hooks, args)
    except HookError as error:
        for line in str(error).split('\n'):
            print(f'hooks: error: {line}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
