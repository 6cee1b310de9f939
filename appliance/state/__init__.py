"""The state of the appliance in SQLite, one module for each table or queue. Knows no HTTP and no storage."""
