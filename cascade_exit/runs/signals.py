"""SIGTERM as an end that unwinds the program, and ends that are not cut short."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the block as Ctrl-C does, with SystemExit; only the main thread may set a handler.

    A second SIGTERM is not heard while the first one unwinds: a cluster sends one to the job and one to whoever stands
    by it, who passes it on. SIGKILL is for who cannot wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, _frame: FrameType | None) -> None:
        signal.signal(signum, lambda *_: None)  # not SIG_IGN, which programs started meanwhile would inherit
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def unheard() -> Iterator[None]:
    """Lets neither SIGTERM nor Ctrl-C cut the block short; only the main thread may set handlers.

    Ray cancels a task with the one and ends its worker with the other, and who ends a job has to see it through.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, lambda *_: None) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
