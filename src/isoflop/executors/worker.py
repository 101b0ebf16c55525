"""A worker process: reads tasks as JSON lines, does them, tells what happens as JSON lines."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do every task that standard input names until it ends; never outlive the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    from isoflop.errors import MachineError, UserError
    from isoflop.executors.task import Task, perform

    for line in sys.stdin:
        try:
            for message in perform(Task(**json.loads(line))):
                _tell(message)
            _tell({"kind": "done"})
        except UserError as error:
            _tell({"kind": "user_error", "message": str(error)})
        except MachineError as error:
            _tell({"kind": "machine_error", "message": str(error)})
        except Exception:
            _tell({"kind": "error", "message": traceback.format_exc()})


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _die_with_parent() -> None:
    """Ask Linux for a kill when the parent dies (elsewhere the broken pipe ends the worker at its next word)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    main()
