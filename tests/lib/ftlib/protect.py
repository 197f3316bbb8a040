"""Machines that run first and get a backup later.

    with RomPair('counter') as pair:
        begin_alone(pair)
        backup = protect(pair, 'unix')

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil

from . import paths
from .process import wait_for

SYNC_S = 60             # from ft-protect to "protected"; usually below 1 s


def begin_alone(pair):
    """A primary that began without a backup."""
    if pair.disk:
        pair.prepare_disks()
    pair.start_primary()
    pair.primary.wait_state('connecting')
    pair.primary.qmp.command('ft-stop')
    pair.primary.wait_state('alone')


def wait_migration(machine, *states):
    """Returns query-migrate's answer when its status is one of these."""
    def look():
        answer = machine.qmp.command('query-migrate')
        return answer if answer.get('status') in states else None
    return wait_for(look, 60, f'migration {states}', machine.process,
                    interval=0.02)


def protect_by_copy(pair, old=None, new='b', size=None):
    """As protect(), and QEMU copies the disk while the guest runs.

    size: the new disk's, if it is not the old one's; what is on it does not
    matter.  Returns before the pair is made.
    """
    old = old or pair.primary
    state = os.path.join(pair.directory, f'state-{new}')
    pair.incoming_port, mirror = paths.free_port(), paths.free_port()
    where = os.path.join(pair.directory, new)
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, 'disk.raw'), 'wb') as file:
        file.write(b'\xff' * (size or os.path.getsize(
            os.path.join(old.directory, 'disk.raw'))))
    backup = pair.start_incoming(new, f'unix:{state}',
                                 f',mirror=127.0.0.1:{mirror}')
    wait_for(lambda: os.path.exists(state), 30, state, backup.process)
    old.qmp.command('ft-protect', peer=f'127.0.0.1:{pair.incoming_port}',
                    state=f'unix:{state}', mirror=f'127.0.0.1:{mirror}')
    return backup


def protect(pair, way, old=None, new='b'):
    """Gives the machine that runs alone a backup, by a socket or a file."""
    old = old or pair.primary
    state = os.path.join(pair.directory, f'state-{new}')
    uri = f'{way}:{state}'
    pair.incoming_port = paths.free_port()
    os.makedirs(os.path.join(pair.directory, new), exist_ok=True)
    theirs, ours = (os.path.join(where, 'disk.raw') for where in (
        old.directory, os.path.join(pair.directory, new)))
    if pair.disk:
        with open(ours, 'wb') as file:
            file.truncate(os.path.getsize(theirs))
    if way == 'unix':
        backup = pair.start_incoming(new, uri)
        wait_for(lambda: os.path.exists(state), 30, state, backup.process)
    if pair.disk:
        old.qmp.command('migrate-set-capabilities', capabilities=[
            {'capability': 'pause-before-switchover', 'state': True}])
    old.qmp.command('ft-protect', peer=f'127.0.0.1:{pair.incoming_port}',
                    state=uri)
    if pair.disk:
        wait_migration(old, 'pre-switchover')
        shutil.copyfile(theirs, ours)
        old.qmp.command('migrate-continue', state='pre-switchover')
    if way == 'file':
        wait_migration(old, 'completed')
        backup = pair.start_incoming(new, uri)
    old.wait_state('protected', timeout=SYNC_S)
    backup.wait_state('protected', timeout=SYNC_S)
    return backup
