"""The Dataverse sandbox behaves as the vendor's documents say."""
