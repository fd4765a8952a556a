"""File systems behind URLs, through fsspec; their errors are translated to one line.

The user installs fsspec and the library of the file system. That library finds the credentials. Messages contain
neither its texts nor the query and user of a URL, because they may contain a secret.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unlearn_cli.errors import ResourceError, UserError

# Errors of the libraries of file systems, by name, because none of these libraries need be installed.
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
        UserError: fsspec or the library of the file system is not installed, or the kind of URL is unknown.
    """
    try:
        import fsspec
    except ModuleNotFoundError:
        raise UserError(f"{redact_url(url)}: URLs need the library fsspec; pip install 'unlearn-cli[remote]'") from None
    try:
        with translate_remote_errors(url):
            return fsspec.url_to_fs(url)
    except ImportError as error:  # its message names the library to install
        raise UserError(f"{redact_url(url)}: the library for such URLs is not installed ({error})") from None
    except ValueError:
        raise UserError(f"{redact_url(url)}: unknown kind of URL; expected s3://, gs:// or another of fsspec") from None


@contextmanager
def translate_remote_errors(url: str) -> Iterator[None]:
    """Translate errors of file systems; errors of this machine, such as a full disk, and bugs are raised unchanged.

    Raises:
        UserError: the object does not exist, access is denied, or there are no credentials.
        ResourceError: the remote cannot be reached, or fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{redact_url(url)}: no such object; check the URL") from None
    except PermissionError:
        raise UserError(f"{redact_url(url)}: permission denied; check the credentials and their permissions") from None
    except Exception as error:
        raise _translate(error, redact_url(url)) from None


def _translate(error: Exception, location: str) -> Exception:
    """Return the CliError for an error of a file system, or the error itself if it is a bug."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & REFUSED:
        return UserError(f"{location}: no valid credentials; configure them as its file system's library expects")
    if "ParamValidationError" in names:
        return UserError(f"{location}: the file system does not allow this name; check the URL")
    if isinstance(error, NotImplementedError):
        return UserError(f"{location}: its file system does not support this operation; choose another")
    if names & UNREACHED or isinstance(error, (ConnectionError, TimeoutError)):
        return ResourceError(f"{location}: the remote cannot be reached; run the same command again later")
    if isinstance(error, OSError) and error.errno in (None, errno.EIO, errno.EINVAL):  # other errors of s3fs
        return ResourceError(f"{location}: the remote returned an error; check the URL and the credentials")
    return error


def redact_url(url: str) -> str:
    """Return a URL without the parts that may be secret: user and password, and a query with a signature."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]
