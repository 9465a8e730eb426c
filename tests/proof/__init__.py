"""Right verdicts, counted: every expectation on a mesh where it truly holds and on one where it is truly broken, again
and again with fresh seeds. Whole runs of the command on real Envoys: an hour and more of machine time, so no part of
the tests.
"""
