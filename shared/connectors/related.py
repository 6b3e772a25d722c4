"""Dotted column names: `paymentTermsId.code` is the column `code` of the record that `paymentTermsId` points to."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def split_column(name: str) -> tuple[str, str]:
    """The reference and the column behind the dot (empty where there is none); raises ValueError for other text."""
    near, dot, far = name.partition(".")
    if not _NAME.fullmatch(near) or (dot and not _NAME.fullmatch(far)):
        raise ValueError("no column name")
    return near, far
