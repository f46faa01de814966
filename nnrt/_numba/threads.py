"""Helper threads. They share work by taking numbers, so that one that comes late costs nothing.

Between calls a helper spins without the GIL for NNRT_SPIN_US, then it sleeps in a queue. To a compiled kernel (compiled.shared)
it comes through a gate in memory, and neither side waits for the GIL: in less than a microsecond where it spins, in 50 where
it sleeps. Functions of Python's come by the queue.

Numba's own threads would double the time of compilation, do not survive a fork, and end the process
when two threads of the caller's enter them at once.
"""

import atexit
import os
import threading
import time
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np

from nnrt import config, limits

from . import gate

_CORES = limits.cpus().threads
_CLOCK = getattr(time, "CLOCK_MONOTONIC", None)
_END = object()


def count():
    """Threads to work on, the caller's own included."""
    return config.settings.num_threads


def _reset():
    global _queue, _lock, _threads, _asleep, _calls, _memory, _gate
    _queue, _lock, _threads, _asleep, _calls = SimpleQueue(), threading.Lock(), [], [], []
    _memory = np.zeros(gate.SIZE // 8 + 16, np.int64)
    _memory = _memory[-_memory.ctypes.data % 128 // 8 :]
    _gate = _memory.ctypes.data
    _memory[gate.CORE // 8] = -1


def _spin():
    """Nanoseconds to spin: none without a clock of the system's or a core for each thread."""
    return 0 if _CLOCK is None or count() > _CORES else config.settings.spin_us * 1000


def _keep_apart(core):
    """Leaves the caller's core if another is idle, which is so when no more threads are runnable than this one has cores. The
    system often wakes a thread on the waker's core while others are idle, and takes tens of milliseconds to part the two."""
    try:
        cores = os.sched_getaffinity(0)
        with open("/proc/loadavg") as file:  # three averages, then runnable/all
            runnable = int(file.read().split()[3].partition("/")[0])
        if runnable <= len(cores):
            os.sched_setaffinity(0, cores - {core})
            os.sched_setaffinity(0, cores)  # from there it may go where it might before
    except (OSError, ValueError):  # no /proc, or no other core
        pass


def _serve(queue, asleep, calls, memory, address):
    """What a helper does. A job is a function, None where work comes through the gate, or the end."""
    job = None
    while job is not _END:
        asleep.append(None)
        # a call that began while this thread waited for the GIL took it for awake, and would go without it
        job = None if calls and _spin() else queue.get()
        asleep.pop()
        try:
            while job is not _END:
                if job is not None:
                    job()
                    job = None  # or what it holds would live until the next one
                rung = int(memory[gate.BELL // 8])
                if queue.empty() and gate.serve(address, _spin(), _CLOCK or 0, rung):
                    _keep_apart(int(memory[gate.CORE // 8]))
                else:
                    job = queue.get_nowait()
        except Empty:
            pass


def _hire(helpers):
    """Starts threads, up to so many in all; how many there are. The system may have no more, or be about to end."""
    if len(_threads) < helpers:
        with _lock:
            gate.prepare()
            while len(_threads) < helpers:
                shared = (_queue, _asleep, _calls, _memory, _gate)
                thread = threading.Thread(target=_serve, args=shared, name="nnrt-numba", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    break
                _threads.append(thread)
    return min(helpers, len(_threads))


def together(function, shares, *args):
    """function(*args) on as many threads as there are shares: one of compiled.shared, which takes pieces by counting."""
    helpers = min(count(), shares) - 1 if shares > 1 else 0  # settings take a third of a microsecond
    if helpers <= 0:
        return function(_gate, 0, *args)
    helpers = _hire(helpers)
    _calls.append(None)
    try:
        for _ in range(helpers - len(_threads) + len(_asleep)):
            _queue.put(None)
        function(_gate, helpers, *args)
    finally:
        _calls.pop()


def dealt(function, pieces, *args):
    """together, for a function that deals so many pieces by gate.mine: how many threads there are at most comes behind its
    arguments."""
    parts = max(1, min(count(), pieces, gate.PARTS)) if pieces > 1 else 1
    together(function, parts, *args, parts)


def share(function, tasks):
    """function(t) for each t below tasks, on all threads; raises the first error among them. The caller takes the first ones,
    helpers the last: of two threads each meets what it wrote, here and in what gate.mine deals."""
    tasks_left, done, errors = deque(range(tasks)), threading.Semaphore(0), []

    def work(take):
        while tasks_left:
            try:
                t = take()
            except IndexError:  # another thread was faster
                break
            try:
                function(t)
            except BaseException as error:
                errors.append(error)
            done.release()

    for _ in range(_hire(min(count(), tasks) - 1)):
        _queue.put(partial(work, tasks_left.pop))
    _memory[gate.BELL // 8] += 1
    work(tasks_left.popleft)
    for _ in range(tasks):
        done.acquire()
    if errors:
        raise errors[0]


def _end():
    """A thread that came back from compiled code to an interpreter that is gone would end the process."""
    for _ in _threads:
        _queue.put(_END)
    _memory[gate.BELL // 8] += 1
    for thread in _threads:
        thread.join(1)


_reset()
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)  # threads do not survive a fork
