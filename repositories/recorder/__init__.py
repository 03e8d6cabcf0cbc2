"""Single telemetry events at rate: taken one by one, written in groups, through the ports alone.

`TelemetryRecorder` works on any database of the ports, PostgreSQL's and the fake one.
"""

from repositories.recorder.figures import RecorderFigures
from repositories.recorder.recorder import OnFull, RecorderOptions, TelemetryRecorder

__all__ = ["OnFull", "RecorderFigures", "RecorderOptions", "TelemetryRecorder"]
