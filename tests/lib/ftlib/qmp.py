"""QMP, QEMU's control protocol.  Every wait is bounded.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import json
import os
import socket
import time

from . import FtError, FtTimeout


class QmpError(FtError):
    """QEMU answered a command with an error."""


class QmpClosed(FtError):
    """QEMU closed the connection, by ending as a rule."""


def _connect(path, timeout):
    """Through a descriptor of its directory: no limit on the path's length."""
    end = time.monotonic() + timeout
    directory = os.open(os.path.dirname(path), os.O_PATH)
    short = f'/proc/self/fd/{directory}/{os.path.basename(path)}'
    try:
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(short)
                return sock
            except (FileNotFoundError, ConnectionRefusedError) as error:
                sock.close()
                if time.monotonic() > end:
                    raise FtTimeout(f'nobody listens on {path}') from error
            time.sleep(0.02)
    finally:
        os.close(directory)


class Qmp:
    """One connection.  For one thread at a time."""

    def __init__(self, path, timeout=30):
        self._sock = _connect(path, timeout)
        self._buffer = b''
        self._id = 0
        self._answers = {}          # to commands that nobody waited for yet
        self.events = []            # all that came, oldest first
        self._taken = 0             # events that wait_event has gone past
        end = time.monotonic() + timeout
        # An event can come between the connection and the greeting.
        while 'QMP' not in self._receive(end, f'the greeting on {path}'):
            pass
        self.command('qmp_capabilities', timeout=timeout)

    def close(self):
        self._sock.close()

    def _receive(self, end, what):
        """The next message."""
        while b'\n' not in self._buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise FtTimeout(f'QMP: {what} did not come in time')
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(65536)
            except socket.timeout:
                continue
            except ConnectionError:
                data = b''
            if not data:
                raise QmpClosed(f'QMP: closed while waiting for {what}')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        message = json.loads(line)
        if 'event' in message:
            stamp = message['timestamp']
            message['t'] = (stamp['seconds'] + stamp['microseconds'] / 1e6
                            - time.time() + time.monotonic())
            self.events.append(message)
        elif 'id' in message:
            self._answers[message['id']] = message
        return message

    def send(self, name, /, timeout=30, **arguments):
        """Sends a command, and returns the number to wait for its answer by.

        '_' in argument names means '-'.
        """
        self._id += 1
        request = {'execute': name, 'id': self._id}
        if arguments:
            request['arguments'] = {key.replace('_', '-'): value
                                    for key, value in arguments.items()}
        self._sock.settimeout(timeout)
        try:
            self._sock.sendall(json.dumps(request).encode() + b'\n')
        except socket.timeout as error:
            raise FtTimeout(f'QMP: {name} could not be sent') from error
        except OSError as error:
            raise QmpClosed(f'QMP: {name}: {error}') from error
        return self._id

    def answered(self, number):
        """Has the answer to this command arrived?"""
        self.poll_events()
        return number in self._answers

    def answer(self, number, name, timeout=30):
        """What send()'s command returned."""
        end = time.monotonic() + timeout
        while number not in self._answers:
            self._receive(end, f'the answer to {name}')
        message = self._answers.pop(number)
        if 'error' in message:
            raise QmpError(f'{name}: {message["error"]["desc"]}')
        return message['return']

    def command(self, name, /, timeout=30, **arguments):
        """Runs a command; '_' in argument names means '-'."""
        return self.answer(self.send(name, timeout, **arguments), name,
                           timeout)

    def hmp(self, line, timeout=30):
        return self.command('human-monitor-command', timeout,
                            command_line=line)

    def wait_event(self, name, accept=lambda data: True, timeout=30):
        """The next event of this name whose data accept() takes.

        Events before it are passed over; they stay in self.events.
        """
        end = time.monotonic() + timeout
        while True:
            while self._taken < len(self.events):
                event = self.events[self._taken]
                self._taken += 1
                if event['event'] == name and accept(event.get('data', {})):
                    return event
            self._receive(end, f'event {name}')

    def poll_events(self):
        """Takes in what has arrived, without waiting."""
        try:
            while True:
                self._receive(time.monotonic() + 0.001, 'an event')
        except FtTimeout:
            pass
