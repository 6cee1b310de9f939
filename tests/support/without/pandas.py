"""In the place of a package of the tests: sqlite-utils loads it if it is there, and does without it.

No process of the appliance has it, and each would need 0.3 s of CPU time more to start.
"""

raise ImportError("not for the appliance")
