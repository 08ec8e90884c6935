"""`python -m calibration.take_handoff FOLDER`: takes the job that a daemon left in FOLDER, and does
it as its child would.

A service manager's unit runs it, and so can give the job limits of its own. Knows no job.
"""

import os
import socket
import sys
from pathlib import Path

from pydantic import ValidationError

from engines.encryption.from_parent import VARIABLE as KEYS
from engines.jobs.child_process import HANDED_OVER_VARIABLE
from engines.jobs.handoff import REQUEST_NAME, HandedOver
from engines.jobs.programs import CALIBRATION_JOB, program

_MAX_BYTES = 1 << 20


def main() -> int:
    """Take the request away and become the process that carries it out. Returns 0 where there is no
    request, or where the daemon that made it is gone."""
    request = Path(sys.argv[1]) / REQUEST_NAME
    try:
        if request.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        asked = HandedOver.model_validate_json(request.read_bytes())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, ValidationError) as error:
        print(f"{request} is no request: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    finally:
        request.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(asked.socket))
            if KEYS in asked.environment:
                _, (keys,), _, _ = socket.recv_fds(connection, 1, 1)
                os.dup2(keys, 0)
                os.close(keys)
        except OSError as error:
            print(f"the daemon that asked is gone ({error.strerror})", file=sys.stderr)
            return 0
        os.dup2(connection.fileno(), 1)
    log = os.open(asked.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    os.close(log)
    os.environ.update(asked.environment | {HANDED_OVER_VARIABLE: "1"})
    os.execv(sys.executable, program(CALIBRATION_JOB, str(asked.job)))  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
