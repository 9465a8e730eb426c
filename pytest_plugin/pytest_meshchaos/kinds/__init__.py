"""The installed kinds of faults as typed methods, so that an editor completes them and a type checker knows them."""
