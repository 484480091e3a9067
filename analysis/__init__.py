"""What is learnt from the documents of a run: numbers, verdicts and figures.

Knows documents and arrays only, so that it works on a run recorded by anyone.
"""
