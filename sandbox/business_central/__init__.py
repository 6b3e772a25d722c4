"""Imitation of Business Central online over HTTP, API v2.0, written from the vendor's public documents."""

from sandbox.business_central.errors import ApiError
from sandbox.business_central.sandbox import BusinessCentralSandbox
from sandbox.business_central.setup import AUDIENCE, BusinessCentralOptions, Company, PostCode

__all__ = ["AUDIENCE", "ApiError", "BusinessCentralOptions", "BusinessCentralSandbox", "Company", "PostCode"]
