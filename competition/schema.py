"""The JSON schema of a spec, for editors: they complete keys, show what each means, and underline what is wrong."""

import inspect
import json
import re
from typing import get_args

from pydantic import BaseModel

from competition.metrics import METRICS
from competition.spec import SPECS, Spec

FILE = SPECS / "schema.json"


def schema_text() -> str:
    """The schema as the text of schema.json. Keys are described by the docstrings of their models."""
    schema = Spec.model_json_schema()
    for name, model in _models(Spec).items():
        part = schema if model is Spec else schema["$defs"][name]
        part["description"] = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
        for key, text in _key_descriptions(model).items():
            part["properties"][key].setdefault("description", text)
    schema["$defs"]["MetricSpec"]["properties"]["name"]["enum"] = list(METRICS)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _models(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """A model and all that its fields hold, by name."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= _models(part)
    return found


def _key_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of its keys: "key: text", at a line's or a sentence's start."""
    keys = "|".join(model.model_fields)
    found = {}
    for part in reversed(model.__mro__):
        text = " ".join(inspect.cleandoc(part.__doc__ or "").partition("\n\n")[2].split())
        _, *pieces = re.split(rf"(?:^|(?<=\. ))({keys})(?=:| \w+: )", text)
        found |= {key: said.lstrip(": ").rstrip() for key, said in zip(pieces[::2], pieces[1::2], strict=True)}
    return found
