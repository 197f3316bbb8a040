"""What the demo, the functional tests and the fault tests share.

One noun a module: paths, process, qmp, resp, guest, pair, relay, netns.
Standard library only.  A test puts tests/lib on sys.path and imports ftlib.

SPDX-License-Identifier: GPL-2.0-or-later
"""


class FtError(Exception):
    """Something a person has to read: what happened and what to do next."""


class FtTimeout(FtError):
    """A bounded wait ended without what it waited for."""
