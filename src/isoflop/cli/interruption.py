"""Ctrl-C while packages are imported: heard when they are, and never lost.

A `KeyboardInterrupt` in the middle of an import is no good. Where it comes up in the callback by which Python forgets
a module's lock, Python drops it and goes on; where it comes up in torch's C++, the process aborts; a package that does
without another may take it for that one's absence.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit code."""
AGAIN_SECONDS = 0.05
IMPORT = "<frozen importlib._bootstrap>"
"""The file that Python's import says it is in."""


@contextmanager
def unswallowed() -> Iterator[None]:
    """Within it, Ctrl-C raises its `KeyboardInterrupt` when no import is under way, and again if it gets lost.

    A second Ctrl-C raises at once. Nothing is changed where Ctrl-C is ignored or handled already, outside the main
    thread, and on Windows.
    """
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_ours or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _say)
    signal.signal(signal.SIGINT, _hear)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _hear(number: int, frame: FrameType | None) -> None:
    _, already = signal.getitimer(signal.ITIMER_REAL)
    if already:
        raise KeyboardInterrupt
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
    _say(number, frame)


def _say(_number: int, frame: FrameType | None) -> None:
    if not _is_importing(frame) and not _is_interrupted(sys.exception()):
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORT:
        frame = frame.f_back
    return frame is not None


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether `error`, which is being handled at the moment, comes from a `KeyboardInterrupt`."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
