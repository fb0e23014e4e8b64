"""Mistakes that the caller can mend."""


class InputError(ValueError):
    """A file or another input cannot be used; the message says what was expected and what came."""


class MissingLibraryError(ImportError):
    """A library is not installed that only some jobs need; the message says how to install it."""
