"""Ensembles on one thread: what each way to weight is worth on rows nobody saw, how long it takes, and its memory."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from competition import cli

PARTS = ("quality", "speed", "memory")
SLOW = 5.0  # seconds; who takes longer is measured once
READS = 25  # passes over memory that a greedy selection of as many picks could not do without, were it not lazy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blend", description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE.npz",
        help="libraries for the quality (default: made of scikit-learn)",
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="default: all three")
    parser.add_argument("--splits", type=int, default=3, metavar="N", help="of each data set (default: 3)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="measurements of each (default: 5)")
    parser.add_argument(
        "--speed",
        nargs="*",
        type=_shape(3),
        default=[(36, 284, 2), (50, 10_000, 2), (50, 10_000, 5), (50, 10_000, 100)],
        metavar="MxNxC",
        help="members x rows x classes, against the peers (default: 36x284x2 50x10000x2 50x10000x5 50x10000x100)",
    )
    parser.add_argument(
        "--large",
        nargs="*",
        type=_shape(2),
        default=[(50, 100_000), (200, 100_000), (200, 1_000_000)],
        metavar="MxN",
        help="against reads of memory (default: 50x100000 200x100000 200x1000000, which takes 1.2 GB)",
    )
    parser.add_argument(
        "--memory",
        type=_shape(3),
        default=(40, 200_000, 5),
        metavar="MxNxC",
        help="read from files in TMPDIR (default: 40x200000x5, 160 MB)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    cli.add_debug_argument(parser)
    args = parser.parse_args()

    # Imported here, because scikit-learn takes a second and --help should not.
    from threadpoolctl import threadpool_limits

    from benchmarks.blenders import installed, quality
    from benchmarks.host import load_average
    from benchmarks.libraries import DATA, load, make
    from pipeline.machine import processor

    machine = {"cpu": processor(), "threads": 1, "load_average": load_average()}
    report: dict[str, Any] = {"machine": machine, "peers": installed(), "repeats": args.repeats}
    with threadpool_limits(1):
        if "quality" in args.only:
            matrices = [load(file) for file in args.files]
            matrices = matrices or [make(data, seed) for data in DATA for seed in range(args.splits)]
            report["quality"] = [quality(matrix) for matrix in matrices]
        if "speed" in args.only or "memory" in args.only:
            model = make("digits", 0)  # what the larger libraries resemble
        if "speed" in args.only:
            report["speed"] = [_speed(model, shape, args.repeats) for shape in args.speed]
            report["large"] = [_large(model, shape, args.repeats) for shape in args.large]
        if "memory" in args.only:
            report["memory"] = _memory(model, args.memory)
    print(json.dumps(report, indent=1) if args.json else _text(report))


def _shape(dimensions: int) -> Callable[[str], tuple[int, ...]]:
    def shape(text: str) -> tuple[int, ...]:
        sizes = tuple(int(size) for size in text.split("x"))
        if len(sizes) != dimensions or min(sizes) < 2:
            raise ValueError
        return sizes

    return shape


def _speed(model: Any, shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Ours and the peers, from predictions in memory to weights."""
    import numpy as np

    from benchmarks.blenders import OURS, hillclimbers_as_documented, peer_form, peers, true_class
    from benchmarks.libraries import distributions, members_like
    from benchmarks.processes import ratio, spread

    members, n, classes = shape
    y = np.random.default_rng(0).integers(0, classes, n)
    p = np.stack([distributions(t, y, classes) for t in members_like(model, members, n)])
    others = peers(classes)
    if "hillclimbers" in others:
        others["… its own example's metric"] = hillclimbers_as_documented
    given = dict.fromkeys(OURS, p) | dict.fromkeys(others, peer_form(p))
    weights = {}

    def contender(name: str, weigh: Callable[..., Any]) -> Callable[[], float]:
        weigh(given[name][:3, :100], y[:100])  # outside the clock: the first call also imports

        def measure() -> float:
            began = time.perf_counter()
            weights[name] = weigh(given[name], y)
            return time.perf_counter() - began

        return measure

    contenders = {name: contender(name, weigh) for name, weigh in (OURS | others).items()}
    seconds = _in_turn(contenders, repeats, "x".join(map(str, shape)))
    t = true_class(p, y).astype(np.float64)
    results = {
        name: {
            "seconds": spread(values),
            "measured": len(values),
            "log_loss": float(-np.log(weights[name] @ t).mean()),
            "over_greedy": ratio(values, seconds["greedy"][: len(values)]),
            "over_convex": ratio(values, seconds["convex"][: len(values)]),
        }
        for name, values in seconds.items()
    }
    return {"members": members, "rows": n, "classes": classes, "contenders": results}


def _large(model: Any, shape: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Ours alone, from probabilities of the truth to weights, beside READS reads of these."""
    import numpy as np

    from benchmarks.libraries import library_like
    from benchmarks.processes import spread
    from blending.convex import least_log_loss
    from blending.greedy import greedy_log_loss

    t = library_like(model, *shape)
    ones = np.ones(len(t), dtype=np.float32)
    fitted: dict[str, Any] = {}

    def clock(name: str, call: Callable[..., Any], *arguments: Any) -> float:
        began = time.perf_counter()
        fitted[name] = call(*arguments)
        return time.perf_counter() - began

    contenders = {
        "greedy": lambda: clock("greedy", greedy_log_loss, t, READS),
        "convex": lambda: clock("convex", least_log_loss, t),
        "reads": lambda: READS * min(clock("max", t.max), clock("sum", np.matmul, ones, t)),
    }
    seconds = _in_turn(contenders, repeats, "x".join(map(str, shape)))
    results: dict[str, Any] = {
        name: {"seconds": spread(values), "over_reads": _ratio(values, seconds["reads"])}
        for name, values in seconds.items()
    }
    for name in ("greedy", "convex"):
        blended = fitted[name].values.astype(np.float32) @ t
        results[name]["log_loss"] = float(-np.log(blended).mean(dtype=np.float64))
    results["convex"]["gap"] = fitted["convex"].gap
    read = [READS * t.nbytes / value / 1e9 for value in seconds["reads"]]
    return {"members": shape[0], "rows": shape[1], "read_gb_per_s": spread(read), "contenders": results}


def _ratio(values: list[float], reference: list[float]) -> float:
    """Of the repeats that both took part in."""
    from benchmarks.processes import ratio

    n = min(len(values), len(reference))
    return ratio(values[:n], reference[:n])


def _in_turn(contenders: dict[str, Callable[[], float]], repeats: int, title: str) -> dict[str, list[float]]:
    """Seconds of everyone, in repeats that begin with another each time; who is slow is in the first of them only."""
    from benchmarks.processes import interleaved

    def measure(name: str) -> float:
        return contenders[name]()

    first = interleaved(list(contenders), 1, measure, title)
    quick = [name for name, values in first.items() if values[0] < SLOW]
    more = interleaved(quick, repeats - 1, measure, title) if quick else {}
    return {name: values + more.get(name, []) for name, values in first.items()}


def _memory(model: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """The peak memory of processes that blend what they read from files."""
    from benchmarks.processes import contenders
    from benchmarks.streaming import Streaming, write

    members, n, classes = shape
    with tempfile.TemporaryDirectory() as folder:
        job = write(model, members, n, classes, Path(folder))
        results = {}
        for method in ("greedy", "convex", "auto"):
            with contenders({method: Streaming}, job) as started:
                results[method] = started[method].call("measure", method)
    about = {"members": members, "rows": n, "classes": classes}
    return about | {"bytes_predictions": 4 * members * n * classes, "methods": results}


def _text(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [f"{machine['cpu']}, one thread; load average at the start {machine['load_average']:.2f}"]
    missing = {"AutoGluon", "hillclimbers"} - set(report["peers"])
    if missing:
        lines.append(f"not installed: {', '.join(sorted(missing))} (pip install -r benchmarks/requirements.txt)")
    lines += _quality_lines(report.get("quality", []))
    for result in report.get("speed", []):
        lines += _speed_lines(result)
    for result in report.get("large", []):
        lines += _large_lines(result)
    if "memory" in report:
        lines += _memory_lines(report["memory"])
    return "\n".join(lines)


def _quality_lines(results: list[dict[str, Any]]) -> list[str]:
    """A table of each matrix, and one of means over those that a method ran on."""
    lines = []
    for result in results:
        shape = f"{result['members']} × {result['rows']} × {result['classes']}, {result['test_rows']} test rows"
        lines += _losses([result], f"{result['name']}: {shape}; auto is {result['chosen']}")
        lines.append(_certificate_line(result["certificate"]))
    return lines + (_losses(results, f"means of {len(results)}") if len(results) > 1 else [])


def _losses(results: list[dict[str, Any]], title: str) -> list[str]:
    columns = f"{'in sample':>11}{'nested':>9}{'test':>9}{'in s. − test':>15}{'nested − test':>15}{'test − auto':>13}"
    lines = ["", title, f"{'log loss':<22}{columns}{'of':>4}"]
    for name in dict.fromkeys(name for result in results for name in result["log_loss"]):
        mine = [result["log_loss"] for result in results if name in result["log_loss"]]
        mean = {key: sum(losses[name][key] for losses in mine) / len(mine) for key in ("in sample", "nested", "test")}
        auto = sum(losses["auto"]["test"] for losses in mine) / len(mine)
        lines.append(
            f"{name:<22}{mean['in sample']:>11.4f}{mean['nested']:>9.4f}{mean['test']:>9.4f}"
            f"{mean['in sample'] - mean['test']:>+15.4f}{mean['nested'] - mean['test']:>+15.4f}"
            f"{mean['test'] - auto:>+13.4f}{len(mine):>4}"
        )
    return lines


def _certificate_line(certificate: dict[str, Any]) -> str:
    parts = [f"gap {certificate['gap']:.1e}", f"convex − greedy of 100 {certificate['above_greedy_100']:+.1e}"]
    if "same_picks" in certificate:
        parts.append(
            f"greedy as AutoGluon's for {certificate['same_picks']} picks (losses differ by "
            f"{certificate['difference']:.1e}, later by {certificate['difference_later']:.1e})"
        )
    return f"{'certified' if certificate['holds'] else 'NOT CERTIFIED'}: {'; '.join(parts)}"


def _speed_lines(result: dict[str, Any]) -> list[str]:
    title = f"{result['members']} × {result['rows']} × {result['classes']}"
    lines = [f"\n{title:<26}{'seconds':>9}{'min – max':>20}{'/ greedy':>10}{'/ convex':>10}{'log loss':>11}{'of':>4}"]
    for name, row in result["contenders"].items():
        lines.append(
            f"{name:<26}{_seconds(row['seconds'])}{row['over_greedy']:>10.1f}{row['over_convex']:>10.1f}"
            f"{row['log_loss']:>11.6f}{row['measured']:>4}"
        )
    return lines


def _large_lines(result: dict[str, Any]) -> list[str]:
    title, read = f"{result['members']} × {result['rows']}", result["read_gb_per_s"]["median"]
    lines = [f"\n{title:<26}{'seconds':>9}{'min – max':>20}{'/ reads':>10}{'log loss':>11}{'gap':>10}"]
    names = {"reads": f"{READS} reads at {read:.1f} GB/s"}
    for name, row in result["contenders"].items():
        loss = f"{row['log_loss']:.6f}" if "log_loss" in row else ""
        gap = f"{row['gap']:.1e}" if "gap" in row else ""
        lines.append(
            f"{names.get(name, name):<26}{_seconds(row['seconds'])}{row['over_reads']:>10.2f}{loss:>11}{gap:>10}"
        )
    return lines


def _seconds(values: dict[str, float]) -> str:
    return f"{values['median']:>9.4f}{values['min']:>11.4f} – {values['max']:.4f}"


def _memory_lines(result: dict[str, Any]) -> list[str]:
    size = result["bytes_predictions"] / 1e6
    title = f"{result['members']} × {result['rows']} × {result['classes']}, {size:.0f} MB in files"
    lines = [f"\n{title:<40}{'peak MB':>9}{'at the start':>14}{'/ files':>9}{'seconds':>9}"]
    for name, row in result["methods"].items():
        before, peak = row["bytes_before"] / 1e6, row["bytes_peak"] / 1e6
        lines.append(f"{name:<40}{peak:>9.0f}{before:>14.0f}{peak / size:>9.2f}{row['seconds']:>9.1f}")
    return lines


if __name__ == "__main__":
    cli.run(main)
