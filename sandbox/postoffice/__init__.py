"""An imitation of a site's CodX PostOffice behind the contract that the connector speaks.

The vendor publishes no paths and no payloads of its interface, so what is imitated is the contract of
`docs/systems/postoffice_contract.md`, in a rich form and in poorer ones (`PostOfficeOptions`).
"""
