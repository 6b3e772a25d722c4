"""An imitation of Dataverse over HTTP: Web API v9.2, change tracking, webhooks, service protection limits."""

from sandbox.dataverse.errors import DataverseError
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.sandbox import DataverseSandbox

__all__ = ["DataverseError", "DataverseOptions", "DataverseSandbox"]
