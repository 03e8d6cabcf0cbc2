"""Write the reference pages that are generated from the code: `python -m tests.docs.reference`."""
