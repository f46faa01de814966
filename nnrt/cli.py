"""The command line: `python -m nnrt train|predict|generate|info|bench`, also installed as `nnrt`.

Exit status: 0 done, 1 the work failed, 2 the call was wrong (the message says what to change),
130 interrupted by Ctrl-C.
"""

import argparse
import importlib
import os
import sys
from shlex import quote

from ._version import __version__
from .train.task import RunError, integer, make_folder, number, read_config

# Task -> module with HELP, add_arguments(parser), train(args) and predict(folder, source), or generate(args).
TASKS = {"digits": "nnrt.train.digits", "chars": "nnrt.train.chars"}


def main(argv=None):
    """Runs one command, returns the exit status. argv: the words after `nnrt`, by default the process's."""
    args, unknown = _parser().parse_known_args(argv)
    if unknown:
        called = f"nnrt {args.command} {getattr(args, 'dataset', '')}".strip()
        print(f"{called}: error: unknown arguments: {' '.join(unknown)}; python -m {called} --help lists all", file=sys.stderr)
        return 2
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

    generate = commands.add_parser(
        "generate",
        help="continue a text with a trained language model",
        description="Continues a text. The same seed gives the same text.",
    )
    generate.add_argument("folder", help="folder of the run, as runs/chars")
    generate.add_argument("--prompt", default="", metavar="TEXT", help="what to continue (default: a new line)")
    generate.add_argument("--length", type=integer(0), default=500, metavar="N", help="characters to write (default 500)")
    generate.add_argument(
        "--temperature", type=number(0, 100), default=0.7, metavar="X", help="0: the likeliest character (default 0.7)"
    )
    generate.add_argument("--top-k", type=integer(1), metavar="N", help="only the N likeliest characters")
    generate.add_argument(
        "--top-p", type=number(0, 1, above=True), metavar="P", help="only the likeliest, up to a probability of P"
    )
    generate.add_argument("--seed", type=integer(0), metavar="N", help="of the draws (default: another each time)")
    generate.set_defaults(run=_generate)

    info = commands.add_parser(
        "info",
        help="versions, machine, back-ends, settings",
        description="Says what nnrt runs on, and why so.",
    )
    info.set_defaults(run=_info)

    bench = commands.add_parser(
        "bench",
        help="compare with torch, numpy and jax where they are installed",
        description="Times nnrt against the libraries installed beside it, after comparing their results.",
    )
    bench.add_argument(
        "--select", default="", metavar="WORDS", help="rows whose name contains one of these, comma-separated"
    )
    bench.add_argument("--threads", default="1,2", help="thread counts, comma-separated (default: 1,2)")
    bench.add_argument("--rounds", type=integer(1), default=15, help="how often the peers take turns (default: 15)")
    bench.add_argument("--passes", type=integer(1), default=1, help="how often all rows are gone through (default: 1)")
    bench.add_argument("--seconds", type=number(0, 600, above=True), default=0.05, help="time per peer and round (default: 0.05)")
    bench.add_argument("--peers", help="comma-separated; default: all that are installed")
    bench.add_argument("--out", metavar="DIR", help="write report.json, report.md and report.png there")
    bench.add_argument("--list", action="store_true", help="list the rows and stop")
    bench.set_defaults(run=_bench)
    return parser


def _bench(args):
    from .bench import compare, report
    from .bench.workloads import all_workloads

    if args.list:
        for row in all_workloads():
            print(f"{row.group:<18}{row.name}")
        return 0
    try:
        threads = tuple(int(n) for n in args.threads.split(","))
    except ValueError:
        raise RunError(f"--threads: wants numbers like 1,2, got {args.threads!r}") from None
    if min(threads) < 1:
        raise RunError(f"--threads: wants numbers of at least 1, got {args.threads!r}")
    peers = args.peers.split(",") if args.peers else None
    unknown = sorted(set(peers or ()) - set(compare.NEEDS))
    if unknown:
        raise RunError(f"--peers: no peer {', '.join(unknown)}; there are {', '.join(compare.NEEDS)}")
    try:
        compare.chosen(args.select)
    except ValueError as error:
        raise RunError(f"--select: {error}") from None
    if args.out:
        make_folder(args.out)
    made = compare.run(args.select, threads, args.rounds, args.seconds, peers, args.passes)
    for path in report.write(made, args.out) if args.out else ():
        print(path)
    return 0


def _predict(args):
    task = read_config(args.folder)["task"]
    if task not in TASKS:
        raise RunError(f"{args.folder} is a run of {task!r}; this nnrt knows {', '.join(TASKS)}")
    module = importlib.import_module(TASKS[task])
    if not hasattr(module, "predict"):
        raise RunError(f"{args.folder} is a run of {task!r}; continue a text with: python -m nnrt generate {quote(args.folder)}")
    return module.predict(args.folder, args.image)


def _generate(args):
    task = read_config(args.folder, "chars")["task"]
    module = importlib.import_module(TASKS[task]) if task in TASKS else None
    if not hasattr(module, "generate"):
        raise RunError(f"{args.folder} is a run of {task!r}, which writes no text; make one with: python -m nnrt train chars")
    return module.generate(args)


def _info(args):
    from .runtime.info import report

    print(report())
    return 0
