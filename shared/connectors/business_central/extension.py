"""The optional extension of Business Central: where it is, and which of its pages stand for which tables.

Its contract is docs/systems/business_central_extension.md.
"""

from __future__ import annotations

import re
from typing import Final

from shared.errors import SettingsError

API: Final = "crmlink/sync/v1.0"
"""Publisher, group and version where the setting names no other."""
PAGES: Final = {"customers": "crmCustomers", "contacts": "crmContacts"}
"""The pages that serve these tables while the extension is there."""
TABLES: Final = {page: table for table, page in PAGES.items()}
BOUNDS: Final = "changeBounds"
BOUND: Final = "lowestActiveRowVersion"
ROW_VERSION: Final = "systemRowVersion"
EXTERNAL_ID: Final = "externalId"
_API: Final = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9]+/(?:v[0-9]+\.[0-9]+|beta)")


def checked_api(text: str) -> str:
    """The place of the extension as a setting names it; raises SettingsError for what cannot be one."""
    if not _API.fullmatch(text):
        raise SettingsError(f"business_central: write the extension's place as publisher/group/version, such as {API}.")
    return text
