"""YAML files as frozen pydantic models. An unknown key or a wrong type raises, naming the key and the nearest one."""

import difflib
import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from competition.errors import SpecError


class Strict(BaseModel):
    """Base of every configuration model: frozen, no unknown keys, no silent conversion ("3" is not 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=Strict)


class _Loader(yaml.SafeLoader):
    """PyYAML reads `3e-4` as a string, `no` as False and takes the last of two equal keys; this loader does not."""

    # Each class has its own resolvers: changing SafeLoader's would change every other user's of PyYAML.
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own interface
        first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":float", ":bool", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")  # strings that need no quotes, unless they are `true` or the like


def parse_yaml(text: str, where: str) -> Any:
    """Read one YAML document. `where` names it in the error (SpecError)."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not valid YAML: {error}") from error


def write_value(value: Any) -> str:
    """The text on one line that `parse_yaml` reads as `value`, a tree of what JSON knows; --set takes it.

    Raises ValueError for a float that is no finite number.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value) and parse_yaml(value, "") == value:
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # YAML refuses some characters that JSON leaves as they are, and takes others for the end of a line.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping. Raises SpecError when it is missing, unreadable or something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from error
    data = parse_yaml(text, str(path))
    if not isinstance(data, dict):
        raise SpecError(f"{path}: expected a mapping of keys to values, found {type(data).__name__}")
    return data


def build(model: type[Model], data: dict[str, Any], where: str) -> Model:
    """Validate `data` as `model`. Raises SpecError with one line per problem, each naming its key."""
    try:
        # Through JSON, because strict mode takes lists for tuples only there.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        lines = [_explain(model, problem) for problem in error.errors()]
        raise SpecError("\n".join(f"{where}: {line}" for line in lines)) from error


def _explain(model: type[BaseModel], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"key {key!r} is missing"
    return f"key {key!r}: {message} (found {problem['input']!r})" if key else message


def _fields_at(model: type[BaseModel], location: tuple) -> list[str]:
    """Names of the fields of the sub-model that `location` leads to."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # an index into a list, or the tag of a union
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    return list(model.model_fields)
