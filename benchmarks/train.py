"""End-to-end training speed, from files on disk to the optimiser's step, of the kit and of the usual alternatives."""

import argparse
import json
from typing import Any

from competition import cli


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="measurements of each (default: 5)")
    parser.add_argument("--images", type=int, default=1280, metavar="N", help="per measurement (default: 1280)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128], metavar="B", help="default: 32 128")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    from benchmarks.contenders import Job
    from benchmarks.host import load_average
    from benchmarks.machine import describe_lines
    from competition.rows.tables import load_train
    from pipeline.cache import decoded
    from pipeline.config import load_recipe

    load, contest, recipe = load_average(), cli.contest_of(args), load_recipe("plain-cnn")
    rows, cache = load_train(contest), contest.runs / "cache"
    size = decoded(rows.images, recipe.image, cache, "train").shape[1:3]  # made here, before anyone is measured
    results = []
    for batch_size in args.batch_sizes:
        job = Job(rows, len(contest.classes), size, recipe, batch_size, cache)
        results.append(_compare(job, args.repeats, max(1, args.images // batch_size)))
    machine = results[0].pop("machine") | {"load_average": load}
    for result in results[1:]:
        result.pop("machine")
    report = {"machine": machine, "repeats": args.repeats, "images": args.images, "results": results}
    if args.json:
        print(json.dumps(report, indent=1))
        return
    print(describe_lines(machine))
    for result in results:
        print(_table(result))


def _compare(job: Any, repeats: int, batches: int) -> dict[str, Any]:
    """Measure all contenders at one batch size, and the machine's peak beside them."""
    from benchmarks.contenders import available
    from benchmarks.processes import contenders, interleaved, ratio, spread

    images = batches * job.batch_size
    with contenders(available(), job) as started:
        for contender in started.values():
            contender.call("measure", 2)
        limit = started["limit"]

        def measure(name: str) -> float:
            if name in started:
                return images / started[name].call("measure", batches)
            return limit.call("peak", name)

        machine, flops = limit.call("machine"), limit.call("flops_per_image")
        formats = sorted({machine["precision"], "float32"})
        values = interleaved([*started, *formats], repeats, measure, f"batches of {job.batch_size}")
        breakdown = limit.call("breakdown", min(10, batches))
    rates = {name: values[name] for name in started}
    used = values[machine["precision"]]
    return {
        "batch_size": job.batch_size,
        "machine": machine,
        "images_per_second": {name: spread(rate) for name, rate in rates.items()},
        "ours_over": {name: ratio(rates["ours"], rate) for name, rate in rates.items() if name != "ours"},
        "peak_gflops": {dtype: spread([peak / 1e9 for peak in values[dtype]]) for dtype in formats},
        "gflop_per_image": flops / 1e9,
        "limit_share_of_peak": ratio([rate * flops for rate in rates["limit"]], used),
        "limit_breakdown": breakdown,
    }


def _table(result: dict[str, Any]) -> str:
    """One batch size as text."""
    lines = [f"\nbatches of {result['batch_size']:<13}{'images/s':>10}{'min – max':>18}{'ours / this':>14}"]
    for name, rate in result["images_per_second"].items():
        share = f"{result['ours_over'][name]:.2f}" if name != "ours" else ""
        lines.append(f"{name:<24}{rate['median']:>10.0f}{_range(rate):>18}{share:>14}")
    if "fastai" not in result["images_per_second"]:
        lines.append("fastai is not installed (pip install -r benchmarks/requirements.txt)")
    peaks = [f"{peak['median']:.0f} ({_range(peak)}) in {dtype}" for dtype, peak in result["peak_gflops"].items()]
    shares = [f"{kind} {share:.0%}" for kind, share in result["limit_breakdown"].items()]
    lines.append(f"matrix multiplication, GFLOP/s: {', '.join(peaks)}")
    lines.append(
        f"the limit reaches {result['limit_share_of_peak']:.0%} of that peak in its precision "
        f"({result['gflop_per_image']:.2f} GFLOP an image)"
    )
    lines.append(f"the limit's step: {', '.join(shares)}")
    return "\n".join(lines)


def _range(values: dict[str, float]) -> str:
    return f"{values['min']:.0f} – {values['max']:.0f}"


if __name__ == "__main__":
    cli.run(main)
