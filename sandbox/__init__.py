"""Imitations of the systems around Crossdock, over HTTP, with behaviour and with faults on demand.

They are written from the vendors' public documents and know nothing of the product: nothing here imports
`shared` or `functions`. What a vendor's system would refuse is refused; what nobody has imitated yet answers
501 and is logged, so that a test notices.
"""
