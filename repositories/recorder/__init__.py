"""A recorder of telemetry events, which takes them one by one and writes them in groups.

`TelemetryRecorder` uses the ports only, so it works with PostgreSQL and with the fake database.
"""

from repositories.recorder.figures import RecorderFigures
from repositories.recorder.recorder import OnFull, RecorderOptions, TelemetryRecorder

__all__ = ["OnFull", "RecorderFigures", "RecorderOptions", "TelemetryRecorder"]
