"""Helper threads. They wait for work and share it by taking numbers, so that one that wakes late costs nothing.

Numba's own threads would double the time of compilation, do not survive a fork, and end the process
when two threads of the caller's enter them at once.
"""

import os
import threading
from queue import SimpleQueue

import numpy as np

from nnrt import config

_queue, _started = SimpleQueue(), 0
_lock = threading.Lock()


def count():
    """Threads to work on, the caller's own included."""
    return config.settings.num_threads


def help_with(function, *args, helpers):
    """Has so many helpers call function(*args) as soon as they can; returns at once."""
    global _started
    if _started < helpers:
        with _lock:
            while _started < helpers:
                threading.Thread(target=_serve, args=(_queue,), name="nnrt-numba", daemon=True).start()
                _started += 1
    for _ in range(helpers):
        _queue.put((function, args))


def _serve(queue):
    while True:
        function, args = queue.get()
        function(*args)
        del function, args  # or they would live until the next call


def together(function, shares, *args):
    """function(*args, numbers) on as many threads as there are shares: a compiled function, which takes pieces by counting in
    numbers. One that comes late reads them and leaves."""
    args = *args, np.zeros(32, np.int64)
    helpers = min(count(), shares) - 1
    if helpers > 0:
        help_with(function, *args, helpers=helpers)
    function(*args)


def share(function, tasks):
    """function(t) for each t below tasks, on all threads; raises the first error among them."""
    numbers, done, errors = iter(range(tasks)), threading.Semaphore(0), []

    def work():
        for t in numbers:
            try:
                function(t)
            except BaseException as error:
                errors.append(error)
            done.release()

    help_with(work, helpers=min(count(), tasks) - 1)
    work()
    for _ in range(tasks):
        done.acquire()
    if errors:
        raise errors[0]


def _forget():
    global _queue, _started, _lock
    _queue, _started, _lock = SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # threads do not survive a fork
