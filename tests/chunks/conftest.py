"""Settings of the generated tests of this room."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Timings never decide a test.
settings.register_profile("without_deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without_deadline")
