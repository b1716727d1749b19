"""From the configuration to what the API is told."""

from __future__ import annotations

from netmon.api.settings import ApiSettings
from netmon.config import Config, log_format, redis_settings
from netmon.config.alarm_service import inventory, token


def api_settings(config: Config, *, redis_url: str) -> ApiSettings | None:
    """What `python -m netmon.api` is told; None when it is switched off, or there are no alarms to show.

    Args:
        config: From `netmon.config.load`.
        redis_url: The URL that is really used, never `embedded`.

    Raises:
        ConfigError: The region or a file with a secret cannot be used.
    """
    if not (config.api.enabled and config.alarms.enabled):
        return None
    return ApiSettings(
        listen=config.api.listen,
        token=token(config.api.token_file),
        hosts=config.api.hosts,
        redis=redis_settings(config, redis_url=redis_url),
        inventory=inventory(config),
        log_level=config.log.level,
        log_format=log_format(config),
    )
