"""Speed and memory, measured side by side in one run: ``make bench`` prints a table and writes bench.json.

Nothing here is asserted: machines are noisy. Each figure stands beside what it is to stay under, as a ratio, and
beside a reference measured in the same minute where there is one.
"""
