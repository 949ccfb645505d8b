"""A metric for tests, as a spec would name it."""

from competition.metrics import METRICS, Metric, create_metric
from competition.spec import MetricSpec, Target
from competition.strict_yaml import build


def metric(
    name: str, classes: int = 3, kind: str = "multiclass", negative: str | None = None, **settings: object
) -> Metric:
    """The metric of a contest whose first `classes` classes are called a, b, c, …; `settings` as in the spec."""
    direction = "maximize" if METRICS[name].maximize else "minimize"
    spec = build(MetricSpec, {"name": name, "direction": direction} | settings, "metric")
    target = Target(kind="binary" if kind == "multiclass" and classes == 2 else kind, negative=negative)
    return create_metric(spec, target, tuple("abcdefghij"[:classes]))
