"""The comparison as JSON, Markdown and a picture."""

import json
import math
from pathlib import Path

from .compare import seconds_text


def write(report, folder):
    """Writes report.json, report.md and, with matplotlib, report.png into an existing folder; returns their paths."""
    folder = Path(folder)
    paths = [folder / "report.json", folder / "report.md"]
    paths[0].write_text(json.dumps(report, indent=1) + "\n")
    paths[1].write_text(markdown(report))
    try:
        import matplotlib
    except ImportError:
        return paths
    matplotlib.use("Agg")
    paths.append(folder / "report.png")
    picture(report, paths[2])
    return paths


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def ranges(rows):
    """The limits that were measured, from the lowest to the highest, per number of threads."""
    for threads in sorted({e["threads"] for e in rows}):
        for of, unit in (("fma", "GFLOP/s FMA"), ("copy", "GB/s copy")):
            rates = [e["limits"][of] / 1e9 for e in rows if e["threads"] == threads and of in e["limits"]]
            if rates:
                yield f"{threads} thread(s): {min(rates):.0f} to {max(rates):.0f} {unit}"


def markdown(report):
    """Tables by group; wins and losses alike."""
    machine = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    text = [
        "# Comparison",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}; {versions}. Medians of alternating rounds, "
        "each library in a process of its own; ratios are the peer's time over nnrt's in the same round (above 1: nnrt is "
        "faster), fractions are of limits measured in that round: " + "; ".join(ranges(report["rows"])) + ".",
        "",
    ]
    if report["missing"]:
        text += [f"Not installed and left out: {', '.join(report['missing'])}.", ""]
    losses = [e for e in report["rows"] if e.get("ratio") and min(e["ratio"].values()) < 1]
    text += ["## Losses", ""]
    text += [f"- {e['name']}, {e['threads']} thread(s): {e['ratio'][e['best']]:.2f} of {e['best']}'s speed" for e in losses] or [
        "None."
    ]
    for group in dict.fromkeys(e["group"] for e in report["rows"]):
        rows = [e for e in report["rows"] if e["group"] == group]
        peers = list(dict.fromkeys(p for e in rows for p in e.get("ratio", {})))
        text += ["", f"## {group}", "", "| workload | threads | nnrt | " + "".join(f"{p} | " for p in peers) + "FMA | copy |"]
        text.append("|" + "--|" * (5 + len(peers)))
        for e in rows:
            ours = e["seconds"].get("numba" if group == "numba" else "nnrt")
            ratios = "".join(f" {e['ratio'][p]:.2f} |" if p in e.get("ratio", {}) else " |" for p in peers)
            of = "".join(f" {100 * e[k]:.0f}% |" if k in e else " |" for k in ("of_fma", "of_copy"))
            text.append(f"| {e['name']} | {e['threads']} | {seconds_text(ours).strip()} |{ratios}{of}")
        for peer in peers:
            values = [e["ratio"][peer] for e in rows if peer in e.get("ratio", {})]
            text.append(f"\nGeometric mean against {peer}: {geomean(values):.2f}")
    wrong = [(e, p, w) for e in report["rows"] for p, w in e["wrong"].items()]
    if wrong:
        text += ["", "## Left out", ""] + [f"- {e['name']}, {e['threads']} thread(s), {p}: {w}" for e, p, w in wrong]
    return "\n".join(text) + "\n"


def picture(report, path):
    """A bar per row, a column per number of threads: how many times faster than the best peer."""
    import matplotlib.pyplot as plt

    rows = [e for e in report["rows"] if e.get("ratio")]
    if not rows:
        return
    names = list(dict.fromkeys(e["name"] for e in rows))
    threads = sorted({e["threads"] for e in rows})
    figure, columns = plt.subplots(
        1, len(threads), sharex=True, sharey=True, squeeze=False, figsize=(4 + 4 * len(threads), 1.5 + 0.16 * len(names)),
        constrained_layout=True,
    )
    for axes, count in zip(columns[0], threads):
        ratios = {e["name"]: e["ratio"][e["best"]] for e in rows if e["threads"] == count}
        values = [ratios.get(name, 1) for name in names]
        axes.barh(names, [v - 1 for v in values], left=1, color=["#2a7f62" if v >= 1 else "#c0392b" for v in values])
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(f"{count} thread{'s' if count > 1 else ''}")
        axes.set_xlabel("times faster than the best peer")
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(y=0.005)
    columns[0][0].invert_yaxis()
    figure.savefig(path, dpi=80)
    plt.close(figure)
