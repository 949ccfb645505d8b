"""Guesses as the text of a spec."""

import json
import re
from itertools import groupby
from textwrap import wrap

from competition.draft.guess import Guess
from competition.strict_yaml import parse_yaml

WIDTH = 120


def spec_text(head: list[str], guesses: list[Guess]) -> str:
    """The YAML of a spec, each key with its comment: behind it where that fits, else above."""
    lines = [f"# {line}" for line in head]
    for section, members in groupby(guesses, key=lambda guess: guess.key.partition(".")[0]):
        in_section = list(members)
        if "." not in in_section[0].key:
            lines += _lines(in_section[0], section, "")
            continue
        if all(guess.value is None for guess in in_section):  # a section of comments alone would be a value, null
            lines += ["", *(line for guess in in_section for line in _lines(guess, guess.key, ""))]
            continue
        lines += ["", f"{section}:"]
        for guess in in_section:
            lines += _lines(guess, guess.key.partition(".")[2], "  ")
    return "\n".join(lines) + "\n"


def _lines(guess: Guess, name: str, indent: str) -> list[str]:
    # A comment ends with its line, whatever stands in the contest's tables.
    comment = " ".join(f"{'' if guess.sure else 'GUESS: '}{guess.seen}".split())
    comment = "".join(letter if letter.isprintable() else "?" for letter in comment)
    if guess.value is None:
        return [f"{indent}# {line}" for line in wrap(f"{name}: {comment}", WIDTH - len(indent) - 2)]
    key = f"{indent}{name}: {_scalar(guess.value)}"
    if not comment:
        return [key]
    together = f"{key}  # {comment}"
    if len(together) <= WIDTH:
        return [together]
    return [*(f"{indent}# {line}" for line in wrap(comment, WIDTH - len(indent) - 2)), key]


def _scalar(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_scalar(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z]([\w ./-]*\w)?", value) and parse_yaml(value, "a draft") == value
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())
