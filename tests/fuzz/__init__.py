"""Files that no encoder would write, sent to a running appliance."""
