"""What the tasks of `nnrt train` share: kinds of options, errors for people, the folder of a run.

A run is a folder; its config.json, {"task": name, "nnrt": version, "classes": [...], "options": {...}},
holds all that is needed to build the model again.
"""

import argparse
import json
import os
from shlex import quote

from .._version import __version__
from ..io.atomic import write_text
from ..io.checkpoint import load
from .progress import make_progress

FILES = ("config.json", "history.csv", "curve.png", "confusion.png", "model.safetensors", "checkpoint")


class RunError(Exception):
    """A mistake that the user can mend; the text says how."""


# ---- kinds of options, for argparse ----


def integer(least):
    """An integer of at least `least`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        limit = " and below 2**63" if value > least else ""
        if not least <= value < 1 << 63:
            raise argparse.ArgumentTypeError(f"wanted an integer of at least {least}{limit}, got {text!r}")
        return value

    return parse


def progress(text):
    """A kind of progress that can be shown here."""
    try:
        make_progress(text, 1).close()
    except (ImportError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def number(least, most, above=False, below=False):
    """A number from least to most; above, below: the bound itself is excluded."""
    bounds = f"{'above' if above else 'from'} {least} {'and below' if below else 'to'} {most}"

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most or (above and value == least) or (below and value == most):
            raise argparse.ArgumentTypeError(f"wanted a number {bounds}, got {text!r}")
        return value

    return parse


def sizes(text):
    """Comma-separated integers of at least 1, as a list."""
    return [integer(1)(part) for part in text.split(",")]


# ---- the folder of a run ----


def make_folder(folder):
    """Makes the folder that --out names, unless it exists; RunError where it cannot be made or written to."""
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        raise RunError(f"--out {folder}: that is a file; give a folder, which is made if it does not exist") from None
    except OSError as error:
        raise RunError(f"--out {folder}: the folder cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"--out {folder}: the folder cannot be written to")


def write_config(folder, task, classes, options):
    """Makes the folder and its config.json."""
    make_folder(folder)
    description = {"task": task, "nnrt": __version__, "classes": list(classes), "options": options}
    write_text(os.path.join(folder, "config.json"), json.dumps(description, indent=2) + "\n")


def read_config(folder, task="digits"):
    """The run's config.json as a dict with "task" and "options"; RunError says what is missing, and how `task` makes it."""
    path = os.path.join(folder, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isfile(folder):
            raise RunError(f"{folder} is not the folder of a run but a file; give the folder, as runs/{task}") from None
        what = "is not the folder of a run: it has no config.json" if os.path.exists(folder) else "does not exist"
        raise RunError(f"{folder} {what}; make a run with: python -m nnrt train {task} --out {quote(folder)}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("options"), dict) or "task" not in found:
        raise RunError(f"{path} is not the description of a run of nnrt train")
    return found


def read_options(folder, task, defaults):
    """The options of a run of this task, each of the kind its default has."""
    found = read_config(folder, task)
    options = found["options"]
    wrong = [name for name, value in defaults.items() if type(options.get(name)) is not type(value)]
    if found["task"] != task or wrong:
        what = (
            f"the option {wrong[0]} is {options.get(wrong[0])!r}"
            if wrong
            else f"its task is {found['task']!r}"
        )
        raise RunError(f"{os.path.join(folder, 'config.json')} does not describe a run of {task}: {what}")
    return {name: options[name] for name in defaults}


def settle(args, task, defaults):
    """All options of a run: those given over the defaults, or with --resume the run's own.

    Raises RunError when there is nothing to resume, when an option given differs from the resumed
    run's, and when a new run would replace an unfinished one or files of anything but a run of this task.
    Says so where it will replace a finished run of this task.
    """
    given = {name: getattr(args, name) for name in defaults if getattr(args, name) is not None}
    checkpoint = os.path.join(args.out, "checkpoint")
    if not args.resume:
        left = None
        if not args.overwrite:
            _check_same_task(args.out, task)
            left = _unfinished(args.out, checkpoint, task, defaults)
        if left:
            raise RunError(
                f"{args.out} holds an unfinished run ({left}): --resume continues it, "
                "--overwrite starts anew, --out DIR leaves it alone"
            )
        if not args.overwrite and written(args.out):
            print(f"this replaces the finished run in {args.out}; --out DIR leaves one alone", flush=True)
        return {**defaults, **given}
    if not os.path.exists(checkpoint):
        raise RunError(f"nothing to resume: {checkpoint} does not exist; leave out --resume, or give --out")
    options = read_options(args.out, task, defaults)
    for name, value in given.items():
        if value != options[name]:
            flag = "--" + name.replace("_", "-")
            raise RunError(f"--resume keeps the run's own options: {flag} was {options[name]}, got {value}")
    return options


def _check_same_task(folder, task):
    """RunError where a run of this task would write over files that are not such a run's."""
    names = written(folder)
    if not names:
        return
    try:
        found = read_config(folder, task)["task"]
    except RunError:
        found = None
    if found != task:
        what = f"{', '.join(names)} of something else" if found is None else f"a run of {found}, not of {task}"
        raise RunError(f"{folder} holds {what}: --out DIR leaves it alone, --overwrite replaces it")


def _unfinished(folder, checkpoint, task, defaults):
    """Where the run in a folder stands, as text, if it can be resumed and has not ended; else None."""
    try:
        epochs = read_options(folder, task, defaults)["epochs"]
        epoch = load(checkpoint)["epoch"]
    except (OSError, ValueError, LookupError, TypeError, RunError):
        return None
    return f"at epoch {epoch} of {epochs}" if epoch <= epochs else None


def written(folder):
    """The files of a run that exist, by name."""
    return [name for name in FILES if os.path.exists(os.path.join(folder, name))]
