"""An application on Recollect: reviews are recorded, judged, and found again, over HTTP."""
