"""To be imported before a command line is run: Typer's test runner then builds the tree of commands only once."""

from functools import cache

from typer import testing
from typer.main import get_command

testing.__dict__["_get_command"] = cache(get_command)
