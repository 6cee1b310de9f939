"""What the appliance does for its tenants. Only services tie state, storage and the engine together."""
