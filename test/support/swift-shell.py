"""Runs swift commands, one JSON list of arguments a line, in one process: to start Python for each costs seconds.

Each is run as /usr/bin/swift runs it, from sign-in to the exit code, and answered by one line of JSON.
"""

import contextlib
import io
import json
import logging
import sys

from swiftclient import shell


def stream():
    return io.TextIOWrapper(io.BytesIO(), encoding='utf-8', write_through=True)


def text(written):
    written.flush()
    return written.buffer.getvalue().decode('utf-8', 'replace')


sys.argv[0] = 'swift'
for line in sys.stdin:
    out, err = stream(), stream()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(['swift', *json.loads(line)])
        except SystemExit as end:
            code = end.code
    # Each run adds handlers, which hold the stream of that run.
    logging.getLogger('').handlers.clear()
    result = {'code': code or 0, 'stdout': text(out), 'stderr': text(err)}
    print(json.dumps(result), flush=True)
