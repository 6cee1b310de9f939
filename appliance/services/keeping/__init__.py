"""Backup, restore and verification of everything that the appliance keeps."""
