"""Prediction speed of five networks that share one pass over the images, beside its limit and separate passes."""

import argparse
import json
from typing import Any

from competition import cli

NETWORKS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.infer", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument("-r", "--recipe", default="trace-resnet", help="whose networks predict (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="measurements of each (default: 5)")
    parser.add_argument("--images", type=int, default=640, metavar="N", help="per measurement (default: 640)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    from benchmarks.host import load_average
    from benchmarks.machine import describe_lines
    from benchmarks.predictors import PREDICTORS, Job
    from benchmarks.processes import contenders, interleaved, ratio, spread
    from competition.rows.tables import load_test
    from pipeline.cache import decoded
    from pipeline.config import load_recipe

    load, contest, recipe = load_average(), cli.contest_of(args), load_recipe(args.recipe)
    rows, cache = load_test(contest), contest.runs / "cache"
    size = decoded(rows.images, recipe.image, cache, "test").shape[1:3]
    job = Job(rows, len(contest.classes), size, recipe, cache, NETWORKS, min(args.images, len(rows)))
    with contenders(PREDICTORS, job) as started:
        for contender in started.values():
            contender.call("measure")

        def measure(name: str) -> float:
            return job.images / started[name].call("measure")

        rates = interleaved(list(started), args.repeats, measure, "predicting")
        machine = started["limit"].call("machine") | {"load_average": load}
    report: dict[str, Any] = {
        "machine": machine,
        "recipe": args.recipe,
        "networks": NETWORKS,
        "views": 1 + len(recipe.tta),
        "repeats": args.repeats,
        "images": job.images,
        "images_per_second": {name: spread(rate) for name, rate in rates.items()},
        "ours_over": {name: ratio(rates["ours"], rate) for name, rate in rates.items() if name != "ours"},
    }
    print(json.dumps(report, indent=1) if args.json else f"{describe_lines(machine)}\n{_table(report)}")


def _table(report: dict[str, Any]) -> str:
    title = f"{report['networks']} × {report['recipe']}, {report['views']} views"
    lines = [f"\n{title:<32}{'images/s':>10}{'min – max':>18}{'ours / this':>14}"]
    for name, rate in report["images_per_second"].items():
        share = f"{report['ours_over'][name]:.2f}" if name != "ours" else ""
        lines.append(f"{name:<32}{rate['median']:>10.1f}{rate['min']:>8.1f} – {rate['max']:<7.1f}{share:>14}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
