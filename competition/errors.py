"""The one exception tree of the kit.

    KitError            the user must change something: printed as one message, exit status 2
    ├── SpecError       a contest spec or a recipe is wrong: names the file and the key
    ├── DataError       a table, image, archive or prediction file is wrong: names the file, the row and the fix
    ├── SubmissionError a submission file would be rejected, or scored as something else than what was meant
    └── KaggleError     the kaggle CLI refused or could not finish: says what to do on kaggle.com or on this machine

Anything else that escapes is a defect of the kit or a failure of the machine, and ends with exit status 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class KitError(Exception):
    """The user must change something. The message is complete: it names the file, row or key, and the fix."""


class SpecError(KitError):
    pass


class DataError(KitError):
    pass


class SubmissionError(KitError):
    pass


class KaggleError(KitError):
    pass


class Terminated(BaseException):
    """SIGTERM came: end now, in order."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say where: a KitError that leaves the block begins with `where`."""
    try:
        yield
    except KitError as error:
        raise type(error)(f"{where}: {error}") from error
