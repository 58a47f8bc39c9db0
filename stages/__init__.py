"""Headstart: transfer learning as a DVC pipeline. Verbs run (`python -m stages.VERB`), nouns are imported."""

import sys

# `python -m` looks for libraries in the current folder first: there, a file json.py would be run in place of Python's.
if sys.argv[0] == "-m" and not sys.flags.safe_path:  # sys.argv[0] is -m until Python has found the verb
    del sys.path[0]
