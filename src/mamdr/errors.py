"""Every error that mamdr raises on purpose.

    MamdrError                 one line: what was found, what was expected, what to do
     ├── DataError             raw files, tables, built data folders
     ├── ConfigError           recipes, options, names that no table holds
     ├── ModelError            a module that cannot be trained as it stands
     ├── TrainingError         training that cannot go on (a loss that is no number, a worker that died)
     ├── CheckpointError       runs and checkpoints that are absent, damaged or made for something else
     └── ServiceError          a service that cannot be reached, or that refuses what it is asked

The command line prints the message of a `MamdrError` as one line and exits with code 1 (2 for `ConfigError`, as
for any wrong use of a command). Everything else is a defect of mamdr and keeps its traceback.
"""

from __future__ import annotations


class MamdrError(Exception):
    """An error that tells its reader what was found, what was expected and what to do.

    Args:
        found: what is wrong, with the name of the file, column, key or domain, and the line where there is one.
        expected: what should have been there.
        action: what the reader can do about it, as a sentence.

    >>> print(MamdrError("column 'label' is missing in clicks.csv", "columns user_id, item_id, domain, label",
    ...                  "Rename the column or name it with --label"))
    column 'label' is missing in clicks.csv; expected columns user_id, item_id, domain, label. Rename the column or name it with --label.
    """  # noqa: E501

    exit_code = 1

    def __init__(self, found: str, expected: str, action: str) -> None:
        self.found, self.expected, self.action = found, expected, action
        message = f"{found}; expected {expected}. {action.rstrip('.')}."
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[type[MamdrError], tuple[str, str, str]]:
        return type(self), (self.found, self.expected, self.action)


class DataError(MamdrError):
    """Raw files, tables or built data that cannot be used."""


class ConfigError(MamdrError):
    """A recipe, option or name that cannot be used."""

    exit_code = 2


class ModelError(MamdrError):
    """A module that cannot be trained or scored as it stands."""


class TrainingError(MamdrError):
    """Training that cannot go on."""


class CheckpointError(MamdrError):
    """A run or checkpoint that is absent, damaged or made for something else."""


class ServiceError(MamdrError):
    """A service that cannot be reached, or that refuses what it is asked.

    Attributes:
        status: the HTTP status of its answer; 0 where there was none.
    """

    status = 0
