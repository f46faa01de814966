"""Replacing a file all at once: a reader, or a crash at any moment, finds the old file or the new one.

The new content goes to a temporary file in the same directory, reaches the disk (fsync), takes
the name (rename is atomic within a file system), and the directory's entry reaches the disk.
A process killed in between leaves the old file untouched and a file `.<name>.<random>.tmp`, which the
next save of that name removes: a writer holds a lock on its temporary file for as long as it lives.
"""

import os
import re
import secrets
import stat
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # not on Windows: nothing is locked there, and nothing removed
    fcntl = None


@contextmanager
def replacing(path):
    """`with replacing(path) as file:` opens a binary file that takes path's place if the block succeeds.

    A symbolic link is followed; an existing file keeps its permissions. If the block raises, or
    the disk is full, the old file stays as it was and the temporary file is removed. Raises
    OSError if path exists and is not an ordinary file.
    """
    path = os.path.realpath(path)
    directory, name = os.path.split(path)
    try:
        before = os.stat(path)
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        raise OSError(f"{path}: exists and is not an ordinary file; it is not replaced")
    # NAME_MAX is 255 bytes: a long name is cut, the random part keeps the temporary one unique.
    prefix = os.path.join(directory, f".{name[:48]}.")
    _remove_stale(prefix)
    try:
        fd, temporary = _create(prefix)
    except OSError as error:
        error.filename = path
        raise
    try:
        with os.fdopen(fd, "wb") as file:
            if before is not None:
                os.chmod(temporary, stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path  # "No space left on device" where?
        raise
    _sync_directory(directory)


def write_text(path, text):
    """Replaces path by text in UTF-8, all at once."""
    with replacing(path) as file:
        file.write(text.encode())


def _create(prefix):
    """(descriptor, path) of a new file, locked where the file system has locks."""
    while True:
        path = f"{prefix}{secrets.token_hex(8)}.tmp"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if fcntl is None:
            return fd, path
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            return fd, path
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)  # another save took it for a dead one's before it was locked


def _remove_stale(prefix):
    """Removes temporary files that no living process has locked."""
    directory, start = os.path.split(prefix)
    try:
        names = os.listdir(directory) if fcntl else []
    except OSError:
        return
    for name in names:
        if not (name.startswith(start) and re.fullmatch("[0-9a-f]{16}[.]tmp", name[len(start) :])):
            continue
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
        except OSError:
            pass
        finally:
            os.close(fd)


def _remove(path):
    try:
        os.unlink(path)
    except OSError:
        pass


def _sync_directory(directory):
    try:
        fd = os.open(directory, os.O_RDONLY)
    except OSError:  # where a directory cannot be opened, the rename is all there is
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)
