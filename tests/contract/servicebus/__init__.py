"""The local Service Bus endpoint, mostly driven by the unmodified azure-servicebus package."""
