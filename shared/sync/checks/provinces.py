"""The provinces of Italy, by their two letters."""

from __future__ import annotations

from shared.sync.arguments import Told
from shared.sync.checks.countries import code_of
from shared.sync.values import Unfit

_CODES = """
AG AL AN AO AP AQ AR AT AV BA BG BI BL BN BO BR BS BT BZ CA CB CE CH CL CN CO CR CS CT CZ EN FC FE FG FI FM FR GE GO GR
IM IS KR LC LE LI LO LT LU MB MC ME MI MN MO MS MT NA NO NU OR PA PC PD PE PG PI PN PO PR PT PU PV PZ RA RC RE RG RI RM
RN RO SA SI SO SP SR SS SU SV TA TE TN TO TP TR TS TV UD VA VB VC VE VI VR VS VT VV CI OG OT
"""
PROVINCES = frozenset(_CODES.split())
"""All of today, and the Sardinian ones that were merged and divided again (CI, OG, OT, VS)."""


def check_province(text: str, told: Told) -> None:
    """Complain about a province that does not exist, for a record in Italy; elsewhere a province is anything."""
    if code_of(told.get("country", "IT")) == "IT" and text not in PROVINCES:
        raise Unfit("CD-4035", "an Italian province is written as its two capital letters")
