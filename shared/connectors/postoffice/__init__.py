"""The connector of CodX PostOffice, by the contract of `docs/systems/postoffice_contract.md`."""
