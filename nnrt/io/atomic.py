"""Replacing a file all at once: a reader, or a crash at any moment, finds the old file or the new one.

The new content goes to a temporary file in the same directory, reaches the disk (fsync), takes
the name (rename is atomic within a file system), and the directory's entry reaches the disk.
A process killed in between leaves the old file untouched and a file `.<name>.<random>.tmp`.
"""

import os
import secrets
import stat
from contextlib import contextmanager


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
    temporary = os.path.join(directory, f".{name[:48]}.{secrets.token_hex(8)}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            if before is not None:
                os.chmod(temporary, stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    _sync_directory(directory)


def write_text(path, text):
    """Replaces path by text in UTF-8, all at once."""
    with replacing(path) as file:
        file.write(text.encode())


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
