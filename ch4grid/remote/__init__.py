"""Products behind URLs: read by anybody, written only to object stores, where an object appears whole or not at all.

Credentials come from where the client of a protocol looks for them (environment, its own configuration), never from
the URL; they appear in no message. fsspec and the clients are imported when a URL is opened.
"""

from ch4grid.remote.address import is_url
from ch4grid.remote.dataset import open_dataset
from ch4grid.remote.objects import STREAMS, Remote, connect, connect_to_write

__all__ = ["STREAMS", "Remote", "connect", "connect_to_write", "is_url", "open_dataset"]
