"""Headstart: transfer learning as a DVC pipeline. Verbs run (`python -m stages.VERB`), nouns are imported."""
