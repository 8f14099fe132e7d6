"""The errors that are the user's to mend, kept apart from bugs."""


class InputError(ValueError):
    """A config, a flag or an input file is wrong. The message names what, where and the remedy.

    Commands end with exit code 2 on it; every other exception ends with 1.
    """
