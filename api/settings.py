"""What a county may set of its service: who may reach it, how long a login lasts, how much one request may bring."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from api.limits import JobSettings, UploadSettings
from geo.errors import InputError

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_MIB: Final = 1024 * 1024


def now_utc() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a service stands; the defaults are those of a county's intranet.

    Raises
    ------
    InputError
        If open access is asked for on an address others can reach, or behind a proxy, or a
        proxy is no address.
    """

    open_access: bool = False  # one person, one machine: everybody who asks is the administrator
    host: str = "127.0.0.1"  # where the service listens
    folder: Path | None = None  # private folder of a workspace in PostGIS
    allowed_hosts: tuple[str, ...] = ()  # names the service answers to; none: any (open access: this machine)
    proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-… is believed

    idle: timedelta = timedelta(hours=2)  # a session that is not used ends
    lifetime: timedelta = timedelta(hours=12)  # and every session ends: one login a working day
    key_lifetime: timedelta = timedelta(days=365)  # of an API key that names no end, and at most

    tries_of_name: int = 5  # failed logins before waiting begins
    tries_of_address: int = 20  # an office may share one address
    longest_wait: timedelta = timedelta(minutes=5)  # between two tries; longer would lock officers out
    password_length: int = 10
    # Source: OWASP Password Storage Cheat Sheet: Argon2id, 19 MiB, 2 passes, 1 lane.
    hash_memory_kib: int = 19 * 1024
    hash_passes: int = 2

    max_body: int = _MIB  # bytes of a request
    max_attachment: int = 64 * _MIB  # of one that attaches a file to a piece
    max_upload: int = 2048 * _MIB  # of one that brings a delivery or what came back from the field
    orthophoto: tuple[Path, ...] = ()  # rasters, or folders of them, that lie under the map
    tianditu_url: str = ""  # address of 天地图 or of a county's node; empty: none
    tianditu_key: str = field(default="", repr=False)  # stays here: in no answer and no log
    min_free: int = 512 * _MIB  # bytes of disk below which the service says it is not ready
    local_metrics: bool = True  # whether this machine may read /metrics without login
    stop_after_s: int = 20  # a request that takes longer to end than this is cut off at a stop

    jobs: JobSettings = field(default_factory=JobSettings)
    uploads: UploadSettings = field(default_factory=UploadSettings)

    clock: Callable[[], datetime] = now_utc

    def __post_init__(self) -> None:
        """Refuse settings that would open the service to others by mistake."""
        if self.open_access and not is_loopback(self.host):
            raise InputError(
                f"免登录（--open）只用于本机：监听地址 {self.host} 别的机器也能访问；"
                "请去掉 --open，或把 --host 改为 127.0.0.1"
            )
        if self.open_access and self.proxies:
            raise InputError("免登录（--open）不能与 --proxy 同用：经代理来的都会被当成管理员")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise InputError(f"--proxy {proxy} 不是 IP 地址或网段（如 10.1.2.3、10.1.0.0/16）") from None

    def answers_to(self, host: str) -> bool:
        """Whether a name in a request's Host header, without its port, is one of the service's."""
        names = (*LOOPBACK_NAMES, *self.allowed_hosts) if self.open_access else self.allowed_hosts
        return not names or host.lower() in {name.lower() for name in names}

    def is_proxy(self, address: str) -> bool:
        """Whether a peer's word on who asks is believed."""
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in ipaddress.ip_network(proxy) for proxy in self.proxies)
