"""`python -m competition new`: fetches a contest's files where they are missing, and writes a draft of its spec."""

import re
from pathlib import Path

from competition.contest import Contest
from competition.draft.assemble import draft
from competition.draft.write import spec_text
from competition.errors import SpecError
from competition.files import atomic_open
from competition.kaggle.download import fetch_data
from competition.schema import FILE as SCHEMA
from competition.spec import SPECS, Spec
from competition.spec_parts import SLUG
from competition.strict_yaml import build, parse_yaml


def new(slug: str, data: Path, out: Path | None) -> None:
    """Write the draft, say what the files do not tell, and what to do next. Where `data` is missing, download it.

    Raises SpecError when the file exists or the slug is none, or, after writing it, when the draft contradicts itself;
    DataError when the folder holds no contest with images; KaggleError and DataError as `fetch_data`.
    """
    if not re.fullmatch(SLUG, slug):
        raise SpecError(
            f"{slug!r} is no contest's address on Kaggle: its last part has small letters, digits and - only"
        )
    out = out or SPECS / f"{slug}.yaml"
    if out.exists():
        raise SpecError(f"{out} exists. Remove it, or name another file: --out FILE")
    if not data.exists() or not any(data.iterdir()):
        nothing_but_its_name = Spec.model_construct(slug=slug, kaggle=slug)
        fetch_data(Contest(nothing_but_its_name, data, Path("runs") / slug))
    guesses = draft(slug, data)
    schema = SCHEMA.name if out.resolve().parent == SPECS else SCHEMA
    text = spec_text(
        [
            f"yaml-language-server: $schema={schema}",
            f"https://www.kaggle.com/competitions/{slug}",
            "A draft, made by looking at the files. Each comment says what its line was seen from; GUESS: the files do "
            "not tell.",
        ],
        guesses,
    )
    with atomic_open(out) as file:
        file.write(text)
    print(f"{out}: a draft. These are guesses:")
    for guess in guesses:
        if not guess.sure:
            value = "" if guess.value is None else f" {guess.value}"
            print(f"  {guess.key}:{value}" + (f"  ({guess.seen})" if guess.seen else ""))
    build(Spec, parse_yaml(text, str(out)), str(out))  # what does not fit together can be mended in the file
    name = slug if out.parent == SPECS else out
    print("Compare it with the contest's Data and Evaluation pages, then look at what the kit understands:")
    print(f"  python -m competition check -c {name} --data {data}")
