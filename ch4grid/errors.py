"""The three ways a command can end badly, each one paragraph that says what, where, expected, found and what to do."""


class Ch4gridError(Exception):
    """A failure that a user can act on; carries its process exit code and never needs a traceback.

    Args:
        what: What is wrong, one sentence without a final full stop.
        where: The file, key, variable or cell concerned.
        expected: What would have been right, with its value.
        found: What was there instead, with its value.
        fix: What the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = "",
        expected: object = "",
        found: object = "",
        fix: str = "",
    ) -> None:
        place = f"{where}: " if str(where) else ""
        parts = [f"{place}{what}"]
        parts += [f"Expected {expected}"] if str(expected) else []
        parts += [f"Found {found}"] if str(found) else []
        parts += [fix] if fix else []
        # a part may be the text of another error; an error that comes from a worker is made again from its text
        super().__init__(" ".join(f"{part.removesuffix('.')}." for part in parts))


class RunError(Ch4gridError):
    """A run that could not finish although its recipe and inputs are right: disk, lock, verification."""

    exit_code = 1


class RecipeError(Ch4gridError, ValueError):
    """Wrong usage: an unknown or ill-typed recipe key, an argument that does not fit the recipe."""

    exit_code = 2


class InputError(Ch4gridError, ValueError):
    """A missing, truncated or ill-formed input: towers, drivers, areas, checkpoint, store."""

    exit_code = 3
