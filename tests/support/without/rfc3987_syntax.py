"""In the place of a package of the tests: jsonschema does without it, and Ray loads jsonschema in each process.

The package parses a grammar when it is loaded, which takes 1.4 s of CPU time: two thirds of a start of Ray.
"""

raise ImportError("not for Ray")
