"""From the configuration to what the northbound process is told."""

from __future__ import annotations

from netmon.alarms.settings import PostureSettings
from netmon.config import Config, log_format, redis_settings
from netmon.config.alarm_service import inventory, token
from netmon.northbound.settings import AlertmanagerSettings, JmaSettings, NorthboundSettings


def northbound_settings(config: Config, *, redis_url: str) -> NorthboundSettings | None:
    """What `python -m netmon.northbound` is told; None when nothing is configured that it would do.

    Args:
        config: From `netmon.config.load`.
        redis_url: The URL that is really used, never `embedded`.

    Raises:
        ConfigError: The region or a file with a secret cannot be used.
    """
    alertmanager, jma = _alertmanager(config), _jma(config)
    if alertmanager is None and jma is None:
        return None
    return NorthboundSettings(
        redis=redis_settings(config, redis_url=redis_url),
        directory=str(config.data_dir),
        inventory=inventory(config),
        alertmanager=alertmanager,
        jma=jma,
        log_level=config.log.level,
        log_format=log_format(config),
    )


def _alertmanager(config: Config) -> AlertmanagerSettings | None:
    section = config.alertmanager
    if not section.urls:
        return None
    return AlertmanagerSettings(
        urls=section.urls,
        token=token(section.token_file),
        username=section.username,
        password=token(section.password_file),
        tls_ca_file=None if section.tls_ca_file is None else str(section.tls_ca_file),
        timeout_s=section.timeout_s,
        resend_s=section.resend_s,
        resolved_s=section.resolved_s,
        silences=section.silences,
        acks_from_silences=section.acks_from_silences,
        language=section.language,
        runbook_url=section.runbook_url,
    )


def _jma(config: Config) -> JmaSettings | None:
    section = config.jma
    if not section.feed_urls and section.folder is None:
        return None
    return JmaSettings(
        feed_urls=section.feed_urls,
        folder=None if section.folder is None else str(section.folder),
        poll_s=section.poll_s,
        contact=section.contact,
        directory=str(config.data_dir),
        inventory=inventory(config),
        posture=PostureSettings(**config.posture.model_dump()),
    )
