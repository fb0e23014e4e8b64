"""Mistakes that the caller can mend."""


class UserError(ValueError):
    """A mistake of the user's; its message is all that they need to read."""


class MissingLibraryError(ImportError):
    """A library is not installed that only some jobs need; the message says how to install it."""
