"""Runs openstack commands, one JSON list of arguments a line, in one process: to start Python for each costs seconds.

Each is run as /usr/bin/openstack runs it, from discovery and sign-in to the exit code, and answered by one line of JSON.
"""

import contextlib
import io
import json
import logging
import sys

from osc_lib import clientmanager
from openstackclient import shell

sys.argv[0] = 'openstack'
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(json.loads(line))
        except SystemExit as end:
            code = end.code
    # A client is kept by its class, as there is one run in a process: with it its user would stay.
    for member in vars(clientmanager.ClientManager).values():
        if hasattr(member, '_handle'):
            member._handle = None
    # Each run adds handlers, which hold the stream of that run.
    logging.getLogger('').handlers.clear()
    result = {'code': code or 0, 'stdout': out.getvalue(), 'stderr': err.getvalue()}
    print(json.dumps(result), flush=True)
