"""A mistake that the caller can mend."""


class UserError(ValueError):
    """A mistake of the user's; its message is all that they need to read."""
