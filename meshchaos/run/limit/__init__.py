"""``meshchaos run --find-limit``: up to which value of one field an experiment still passes.

- ``axis``: which field, in which unit, between which values; ``search``: which value to try next, and what the points
  say together (both pure); ``finder``: a whole run for each point, and what was found.
"""
