"""Tables and the performance profile of `time_to_accuracy`."""

import contextlib

import numpy as np

#: problems with at least so many rows are large
LARGE = 20_000

_GROUPS = {
    "sk_hessian, solver='auto'": lambda name, default: name == "sk_hessian auto",
    "scikit-learn, its default solver": lambda name, default: name == default,
    "scikit-learn, the best of its solvers": lambda name, default: name.startswith("scikit-learn"),
    "glum, the best of its solvers": lambda name, default: name.startswith("glum"),
    "scikit-learn-intelex": lambda name, default: name.startswith("intelex"),
}


def times(record, threshold):
    """Solver -> its least median time to the threshold, for those that get there."""
    found = {}
    for run in record["runs"]:
        if run["gap"] <= threshold:
            found[run["competitor"]] = min(run["median"], found.get(run["competitor"], np.inf))
    return found


def best(found, mine):
    """Name and time of the fastest of our solvers, or of the others."""
    chosen = {name: t for name, t in found.items() if name.startswith("sk_hessian") == mine}
    name = min(chosen, key=chosen.get, default="none")
    return name, chosen.get(name, np.inf)


def failures(record, threshold):
    """Solver -> how far it got, or what stopped it, for those that miss the threshold."""
    reached, missed = times(record, threshold), dict(record["refused"])
    for run in record["runs"]:
        if run["competitor"] not in reached:
            gaps = [r["gap"] for r in record["runs"] if r["competitor"] == run["competitor"]]
            reason = run["status"] if run["status"] != "ok" else "end of its ladder"
            missed[run["competitor"]] = reason if min(gaps) == np.inf else f"{min(gaps):.0e}, then {reason}"
    return missed


def progress(record, thresholds):
    """One problem in a few lines: every solver's time to each threshold, and the failures."""
    found = [times(record, threshold) for threshold in thresholds]
    lines = [f"{record['name']} ({record['shape'][0]:,} x {record['shape'][1]:,}), F* = {record['best_value']:.12g}"]
    for name in sorted({run["competitor"] for run in record["runs"]}):
        lines.append(f"  {name:30}" + "".join(f"{_seconds(t.get(name, np.inf)):>12}" for t in found))
    missed = failures(record, thresholds[-1])
    return "\n".join(lines + [f"  missed {thresholds[-1]:.0e}: {name} ({why})" for name, why in missed.items()])


def _seconds(t):
    if t == np.inf:
        return "-"
    return f"{1000 * t:.2f} ms" if t < 1 else f"{t:.2f} s"


def tables(records, thresholds):
    """A table for each threshold and the geometric means."""
    return "\n".join(_table(records, threshold) for threshold in thresholds)


def _table(records, threshold):
    lines = [
        f"\nTime to a relative suboptimality of {threshold:.0e}",
        f"{'problem':40}{'rows':>10}  {'best peer':30}{'time':>12}{'auto':>12}{'peer / auto':>13}  our best",
    ]
    for record in records:
        found = times(record, threshold)
        (peer, theirs), (own, ours) = best(found, mine=False), best(found, mine=True)
        auto = found.get("sk_hessian auto", np.inf)
        ratio = _ratio(theirs, auto)
        lines.append(
            f"{record['name']:40}{record['shape'][0]:>10,}  {peer:30}{_seconds(theirs):>12}{_seconds(auto):>12}"
            f"{ratio if isinstance(ratio, str) else f'{ratio:.2f}':>13}  {own.split(' ')[-1]} {_seconds(ours)}"
        )
    return "\n".join(lines + _summary(records, threshold))


def _ratio(theirs, auto):
    if auto == np.inf:
        return "auto fails"
    return "no peer" if theirs == np.inf else theirs / auto


def _summary(records, threshold):
    """Geometric means, of large and small problems, and against scikit-learn's default solver."""
    lines = []
    for title, chosen in (
        (f"{LARGE:,} rows or more", [r for r in records if r["shape"][0] >= LARGE]),
        ("fewer rows", [r for r in records if r["shape"][0] < LARGE]),
    ):
        ratios = [
            _ratio(best(found, mine=False)[1], found.get("sk_hessian auto", np.inf))
            for found in (times(r, threshold) for r in chosen)
        ]
        lines.append(f"{title}: best peer / auto {_mean(ratios)}")
    against = [
        _ratio(times(r, threshold).get(r["default"], np.inf), times(r, threshold).get("sk_hessian auto", np.inf))
        for r in records
    ]
    return [*lines, f"all: scikit-learn's default solver / auto {_mean(against)}"]


def _mean(ratios):
    numbers = [r for r in ratios if not isinstance(r, str)]
    if not numbers:
        return "none"
    text = f"geometric mean {np.exp(np.mean(np.log(numbers))):.2f}, least {min(numbers):.2f}, of {len(numbers)}"
    return text + "".join(f", {what}: {ratios.count(what)}" for what in ("no peer", "auto fails") if what in ratios)


def profile(records, thresholds, path):
    """Draw performance profiles (Dolan & More, 2002): the share of problems done within a factor of the fastest."""
    with contextlib.suppress(ImportError):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.2 * len(thresholds), 3.6), layout="constrained")
        for axes, threshold in zip(
            np.atleast_1d(figure.subplots(1, len(thresholds), sharey=True)), thresholds, strict=True
        ):
            _draw(axes, records, threshold)
        figure.axes[0].set_ylabel("share of problems")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(path, dpi=150)


def _draw(axes, records, threshold):
    found = [times(r, threshold) for r in records]
    fastest = np.array([min(f.values(), default=np.nan) for f in found])
    for group, belongs in _GROUPS.items():
        own = [[t for name, t in f.items() if belongs(name, r["default"])] for f, r in zip(found, records, strict=True)]
        factors = np.sort(np.array([min(t, default=np.inf) for t in own]) / fastest)
        factors = factors[np.isfinite(factors)]
        share = np.arange(1, len(factors) + 1) / len(records)
        axes.step(np.r_[1, factors, 1e3], np.r_[0, share, share[-1:] if len(share) else 0], where="post", label=group)
    axes.set(xscale="log", xlim=(1, 1e3), ylim=(0, 1.02), title=f"suboptimality {threshold:.0e}")
    axes.set_xlabel("time / time of the fastest")
