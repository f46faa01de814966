"""The command line: `python -m nnrt train|predict|info`, also installed as `nnrt`.

Exit status: 0 done, 1 the work failed, 2 the call was wrong (the message says what to change),
130 interrupted by Ctrl-C.
"""

import argparse
import importlib
import os
import sys

from ._version import __version__
from .train.task import RunError, read_config

# Task -> module with HELP, add_arguments(parser), train(args) and predict(folder, source).
TASKS = {"digits": "nnrt.train.digits"}


def main(argv=None):
    """Runs one command, returns the exit status. argv: the words after `nnrt`, by default the process's."""
    args = _parser().parse_args(argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nnnrt: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output is gone, as in `nnrt info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RunError as error:
        print(f"nnrt: error: {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError, FloatingPointError, MemoryError) as error:
        print(f"nnrt: error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(prog="nnrt", description="A neural-network runtime for CPUs.")
    parser.add_argument("--version", action="version", version=f"nnrt {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    train = commands.add_parser(
        "train",
        help="train a network on a data set",
        description="Trains a network.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = train.add_subparsers(dest="dataset", metavar="dataset", required=True)
    for name, module in TASKS.items():
        task = importlib.import_module(module)
        one = tasks.add_parser(name, help=task.HELP, description=f"Trains on {task.HELP}.")
        task.add_arguments(one)
        one.set_defaults(run=task.train)
        train.epilog = f"{train.epilog or ''}\n---- {name} ----\n{one.format_help()}"

    predict = commands.add_parser(
        "predict", help="classify images with a trained network", description="Classifies images."
    )
    predict.add_argument("folder", help="folder of the run, as runs/digits")
    predict.add_argument("image", help="IMAGE.png, or ARRAY.npy with one image or several")
    predict.set_defaults(run=_predict)

    info = commands.add_parser(
        "info",
        help="versions, machine, back-ends, settings",
        description="Says what nnrt runs on, and why so.",
    )
    info.set_defaults(run=_info)
    return parser


def _predict(args):
    task = read_config(args.folder)["task"]
    if task not in TASKS:
        raise RunError(f"{args.folder} is a run of {task!r}; this nnrt knows {', '.join(TASKS)}")
    return importlib.import_module(TASKS[task]).predict(args.folder, args.image)


def _info(args):
    from .runtime.info import report

    print(report())
    return 0
