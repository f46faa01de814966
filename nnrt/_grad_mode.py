"""Whether the ops of this thread are recorded: no_grad and its relatives, which nnrt.autograd makes public."""

import functools
import inspect

try:
    from ._ext.runtime import grad_enabled
    from ._ext.runtime import set_grad_enabled as _set_grad_mode
except ImportError:
    import threading

    _mode = threading.local()

    def grad_enabled():
        return getattr(_mode, "enabled", True)

    def _set_grad_mode(enabled):
        before = grad_enabled()
        _mode.enabled = bool(enabled)
        return before


class _Mode:
    """A grad mode as a context manager and a decorator."""

    def __init__(self, enabled):
        self.enabled = enabled
        self.before = []

    def __enter__(self):
        self.before.append(_set_grad_mode(self.enabled))
        return self

    def __exit__(self, *exc):
        _set_grad_mode(self.before.pop())

    def __call__(self, function):
        enabled = self.enabled
        if inspect.isgeneratorfunction(function):
            return _each_step(function, enabled)

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with _Mode(enabled):
                return function(*args, **kwargs)

        return wrapped


def _each_step(function, enabled):
    """A generator function whose body runs in the mode, and what it yields to in the caller's."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        steps = function(*args, **kwargs)
        resume, given = steps.send, None
        try:
            while True:
                try:
                    with _Mode(enabled):
                        value = resume(given)
                except StopIteration as stop:
                    return stop.value
                try:
                    given = yield value
                    resume = steps.send
                except GeneratorExit:
                    raise
                except BaseException as error:
                    resume, given = steps.throw, error
        finally:
            with _Mode(enabled):
                steps.close()

    return wrapped


class no_grad(_Mode):
    """Within it, ops of this thread record nothing. Context manager and decorator."""

    def __new__(cls, function=None):
        return _Mode.__call__(_Mode(False), function) if function is not None else object.__new__(cls)

    def __init__(self, function=None):
        super().__init__(False)


class enable_grad(_Mode):
    """Within it, ops of this thread are recorded again. Context manager and decorator."""

    def __init__(self):
        super().__init__(True)


class inference_mode(_Mode):
    """no_grad under torch's other name; nnrt's tensors need no further bookkeeping to drop."""

    def __init__(self, mode=True):
        super().__init__(not mode)


class set_grad_enabled(_Mode):
    """Switches recording in this thread at once, and back at the end of a with-block."""

    def __init__(self, mode):
        super().__init__(bool(mode))
        self.before.append(_set_grad_mode(self.enabled))

    def __enter__(self):
        return self


def is_grad_enabled() -> bool:
    """Whether ops of this thread are recorded."""
    return bool(grad_enabled())
