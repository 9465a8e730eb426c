"""Here so that the folders below can import what lies beside it."""
