"""The current version behind a URL, for those who fetch it from there. Local files are always ahead, never behind."""

from unlearn_cli import console
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.work import Batch


def publish(batch: Batch) -> None:
    """Copy the current version to the URL of deletion.yaml, unless the ledger says that it is there.

    Raises:
        UserError: the place may not be written, or what writes there is not installed.
        ResourceError: the remote is not reached; the same command tries again.
    """
    url, state = batch.setup.deletion.publish, batch.state()
    if url is None or state.published == state.current or state.unfinished:
        return
    from unlearn_cli.storage.remote_versions import publish as copy  # fsspec is an extra

    console.say(f"publishing {state.current}")
    copy(batch.version(state.current), url)
    fault.step("sent")
    batch.ledger.append("published", version=state.current)
