"""Copies the current version to a URL. The local files are never behind the remote ones."""

from unlearn_cli import console
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.open_batch import Batch


def publish(batch: Batch) -> None:
    """Copy the current version to the URL of deletion.yaml, unless the ledger has it as published.

    Raises:
        UserError: the URL cannot be written to, or the library for it is not installed.
        ResourceError: the remote cannot be reached; the same command tries again.
    """
    url, state = batch.setup.deletion.publish, batch.state()
    if url is None or state.published == state.current or state.unfinished:
        return
    from unlearn_cli.storage import remote_versions  # fsspec is an extra

    console.say(f"publishing {state.current}")
    remote_versions.publish(batch.version_folder(state.current), url)
    fault.step("sent")
    batch.ledger.append("published", version=state.current)
