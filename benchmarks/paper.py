"""A sweep on a cluster, on paper: what it asks of storage, machines, driver and W&B, from what was measured on a small
machine, and which of them has enough of it first. docs/scale.md tells how it was measured, and what follows from it."""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from competition import cli

SLOWEST = 1.0  # images per second


@dataclass(frozen=True)
class Measured:
    """Medians of docs/scale.md, with images of 100×100 and five classes. Seconds are those of one core."""

    image: int = 30_000  # bytes in the decoded cache
    decode: float = 400e-6  # seconds per image, PNG
    batch: float = 16.6e-6  # seconds per image: gathered, mirrored
    rotated: float = 208e-6  # … rotated as well
    start: float = 9.2  # seconds of a command with few rows, imports among them
    modules: int = 5_400  # files that it opens, or tries to
    row: float = 35e-6  # seconds per row and start: table, split, key of the cache
    row_memory: int = 800  # bytes per row in each process
    checkpoints: tuple[tuple[str, int], ...] = (("trace_resnet_s", 7_221_429), ("trace_resnet_m", 101_428_797))
    oof: int = 76  # bytes per row, with ids of 12 letters
    looks: float = 131.0  # file-system calls of the driver in a second
    stream_seconds: float = 15.0  # between two messages of a W&B run, however short its epochs
    around_fold: int = 12  # further W&B requests, around each fold
    around_run: int = 95  # … and for the summary of a run


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and on what. limits: of shared storage, assumed; of W&B, as published (docs/scale.md)."""

    gpus: int = 100
    gpus_per_machine: int = 8
    folds: int = 1_000
    folds_per_run: int = 5
    images: int = 1_000_000
    epochs: int = 20
    storage_calls: float = 50_000.0  # a second
    storage_bytes: float = 5e9  # a second
    workers: int = 16  # the most that make batches for one GPU
    wandb_streams: float = 500.0  # requests a second and project
    wandb_requests: float = 200 / 60  # a second and account, in 2023; no newer figure is published
    wandb_starts: float = 80.0  # runs created in a second and project

    @property
    def machines(self) -> int:
        return math.ceil(self.gpus / self.gpus_per_machine)


@dataclass(frozen=True)
class Demand:
    """What all GPUs together ask of something, by the images per second of each; it never falls with them."""

    what: str
    unit: str
    limit: float
    at: Callable[[float], float]

    def reached(self) -> float | None:
        """The images per second of a GPU from which on the limit is reached; None where no GPU is so fast."""
        low, high = SLOWEST, 1e9
        if self.at(high) < self.limit:
            return None
        while high / low > 1 + 1e-9:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.at(middle) < self.limit else (low, middle)
        return high


def fold_seconds(plan: Plan, measured: Measured, speed: float) -> float:
    """One fold, from its command to its end; predicting an image is taken to last as long as training on it."""
    return measured.start + measured.row * plan.images + plan.epochs * plan.images / speed


def checkpoints_per_second(plan: Plan, measured: Measured, speed: float, every: float = 300.0) -> float:
    """Of all GPUs, at most: one after each epoch, and one for every 300 s before its end."""
    return plan.gpus * (plan.epochs / fold_seconds(plan, measured, speed) + 1 / every)


def demands(plan: Plan, measured: Measured) -> list[Demand]:
    """Everything that could have enough, in the order in which it has."""
    calls, size = plan.storage_calls, plan.storage_bytes
    streams = plan.gpus / measured.stream_seconds
    others = measured.around_fold + measured.around_run / plan.folds_per_run

    def starts(speed: float) -> float:
        return plan.gpus / fold_seconds(plan, measured, speed)

    def checkpoints(name: str, each: int) -> Demand:
        what = f"checkpoints of {name}"
        return Demand(what, "B/s", size, lambda v: each * checkpoints_per_second(plan, measured, v))

    files, modules = "files asked for at starts, if images are", "modules opened at starts, if Python is"
    mirrored, rotated = "cores per GPU that make batches, mirrored", "cores per GPU that make batches, rotated too"
    found = [
        Demand(
            "images gathered, if memory cannot hold the cache", "B/s", size, lambda v: plan.gpus * v * measured.image
        ),
        Demand(f"{files} on shared storage", "calls/s", calls, lambda v: starts(v) * plan.images),
        Demand(f"{modules} on shared storage", "calls/s", calls, lambda v: starts(v) * measured.modules),
        *(checkpoints(name, each) for name, each in measured.checkpoints),
        Demand("looks of the driver at the folds", "calls/s", calls, lambda _: measured.looks),
        Demand(mirrored, "cores", plan.workers, lambda v: v * measured.batch),
        Demand(rotated, "cores", plan.workers, lambda v: v * measured.rotated),
        Demand("W&B: all requests", "/s", plan.wandb_requests, lambda v: streams + starts(v) * others),
        Demand("W&B: messages with metrics", "/s", plan.wandb_streams, lambda _: streams),
        Demand("W&B: runs created", "/s", plan.wandb_starts, starts),
    ]
    return sorted(found, key=lambda demand: demand.reached() or math.inf)


def once(plan: Plan, measured: Measured) -> dict[str, float]:
    """What does not depend on the speed of the GPUs."""
    runs = plan.folds / plan.folds_per_run
    # Weights are half as large as a checkpoint, which has the optimiser's state besides.
    sizes = {f"checkpoints and weights of {name}, GB": plan.folds * 1.5 * n / 1e9 for name, n in measured.checkpoints}
    return {
        "machines": plan.machines,
        "decoded images, GB": plan.images * measured.image / 1e9,
        "read once by every machine, s": plan.machines * plan.images * measured.image / plan.storage_bytes,
        "decoded by 16 cores in, s": plan.images * measured.decode / 16,
        "a command before its first step, s": measured.start + measured.row * plan.images,
        "rows in the memory of a machine's commands, GB": plan.gpus_per_machine
        * plan.images
        * measured.row_memory
        / 1e9,
        "files asked for when all GPUs start, on shared storage, s": plan.gpus * plan.images / plan.storage_calls,
        "out-of-fold predictions, GB": runs * plan.images * measured.oof / 1e9,
        **sizes,
        "W&B runs": plan.folds + runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    plan = Plan()
    parser.add_argument("--gpus", type=int, default=plan.gpus, metavar="N", help="default: %(default)s")
    parser.add_argument("--folds", type=int, default=plan.folds, metavar="N", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=plan.images, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--speeds", type=float, nargs="+", default=[2e3, 1e4, 5e4], metavar="V", help="images/s of a GPU"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    cli.add_debug_argument(parser)
    args = parser.parse_args()
    plan, measured = Plan(gpus=args.gpus, folds=args.folds, images=args.images), Measured()
    report = {
        "plan": asdict(plan),
        "measured": asdict(measured),
        "hours": {v: plan.folds / plan.gpus * fold_seconds(plan, measured, v) / 3600 for v in args.speeds},
        "demands": [
            {"what": each.what, "unit": each.unit, "limit": each.limit, "reached": each.reached()}
            | {"at": {v: each.at(v) for v in args.speeds}}
            for each in demands(plan, measured)
        ],
        "once": once(plan, measured),
    }
    print(json.dumps(report, indent=1) if args.json else _text(report, args.speeds))


def _text(report: dict, speeds: list[float]) -> str:
    def row(what: str, unit: str, cells: list[str]) -> str:
        return f"{what:<60}{unit:<8}" + "".join(f"{cell:>11}" for cell in cells)

    lines = [row("", "", [*(f"{v:,.0f}/s" for v in speeds), "limit", "reached at"])]
    lines.append(row("all folds", "hours", [_number(report["hours"][v]) for v in speeds]))
    for each in report["demands"]:
        reached = _speed(each["reached"])
        cells = [*(_number(each["at"][v]) for v in speeds), _number(each["limit"]), reached]
        lines.append(row(each["what"], each["unit"], cells))
    return "\n".join([*lines, "", *(f"{what:<60}{_number(value):>19}" for what, value in report["once"].items())])


def _speed(reached: float | None) -> str:
    return "never" if reached is None else "always" if reached <= SLOWEST * 1.01 else f"{_number(reached)}/s"


def _number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    cli.run(main)
