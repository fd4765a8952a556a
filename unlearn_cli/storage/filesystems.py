"""File systems behind URLs by fsspec, and what goes wrong with them told in one line.

fsspec and the library of a file system are for the user to install. That library finds the credentials; no message
repeats what it says, nor what a URL holds beside the place, because both may name a secret.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unlearn_cli.errors import ResourceError, UserError

# Errors of the libraries that file systems are made of, by name: they are many, and not one need be installed.
REFUSED = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "RefreshError",
    "DefaultCredentialsError",
    "ClientAuthenticationError",
}
UNREACHED = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "ClientConnectorError",
    "ServerDisconnectedError",
    "ServiceRequestError",
}


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises:
        UserError: fsspec, or the library of the file system, is not installed, or nothing knows such URLs.
    """
    try:
        import fsspec
    except ModuleNotFoundError:
        raise UserError(f"{redact_url(url)}: URLs need the library fsspec; pip install 'unlearn-cli[remote]'") from None
    try:
        with translate_remote_errors(url):
            return fsspec.url_to_fs(url)
    except ImportError as error:  # it says what to install
        raise UserError(f"{redact_url(url)}: the library for such URLs is not installed ({error})") from None
    except ValueError:
        raise UserError(f"{redact_url(url)}: fsspec knows no such file system; known are s3, gs and others") from None


@contextmanager
def translate_remote_errors(url: str) -> Iterator[None]:
    """Tell what file systems raise in one line; errors of this machine, such as a full disk, and bugs stay as they are.

    Raises:
        UserError: there is no such object, it may not be used, or there are no credentials.
        ResourceError: the remote is not reached, or fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{redact_url(url)}: there is no such object; check the URL") from None
    except PermissionError:
        raise UserError(f"{redact_url(url)}: permission denied; check the credentials and what they allow") from None
    except Exception as error:
        raise _translate(error, redact_url(url)) from None


def _translate(error: Exception, location: str) -> Exception:
    """Return what the user is told in place of an error, or the error itself."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & REFUSED:
        return UserError(f"{location}: no credentials that work were found; give them in the way of its file system")
    if "ParamValidationError" in names:
        return UserError(f"{location}: is no name that its file system allows; check the URL")
    if isinstance(error, NotImplementedError):
        return UserError(f"{location}: its file system cannot do that; choose another")
    if names & UNREACHED or isinstance(error, (ConnectionError, TimeoutError)):
        return ResourceError(f"{location}: the remote is not reached; run the same command again later")
    if isinstance(error, OSError) and error.errno in (None, errno.EIO, errno.EINVAL):  # what s3fs makes of the rest
        return ResourceError(f"{location}: the remote answers with an error; check the URL and the credentials")
    return error


def redact_url(url: str) -> str:
    """Return a URL without what may be a secret: a user with a password, and a query, which may be a signature."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]
