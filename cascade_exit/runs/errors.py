"""The one exception that is meant to be read by the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right: a wrong value, a missing file, a run that is already open.

    The message is one clear line that names the file, key or id, what was expected and what to do. The
    command line prints it without a traceback.
    """
