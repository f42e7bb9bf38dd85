"""The configuration, read as `pkg://cascade_exit.conf`."""
