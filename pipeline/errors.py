"""The one exception that users see."""

from __future__ import annotations

__all__ = ["PipelineError"]


class PipelineError(Exception):
    """Something outside the program is wrong: a file, a parameter, a server.

    The message is one line: what was expected, what came, where, and what to do. Stages and the command line
    print it without a traceback and exit with status 1.
    """
