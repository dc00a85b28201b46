"""The flags of `beedex serve` that stand for one key each; every other key has `--set KEY=VALUE`."""

from types import MappingProxyType

__all__ = ["FLAG_BY_KEY"]

FLAG_BY_KEY: MappingProxyType[str, str] = MappingProxyType(
    {
        "index_dir": "--index",
        "gallery_dir": "--gallery",
        "listen": "--listen",
        "lane.threads": "--threads",
        "tls.certificate": "--tls-certificate",
        "tls.key": "--tls-key",
        "tls.client_ca": "--tls-client-ca",
        "access.tokens": "--tokens",
        "access.allow_insecure": "--insecure",
        "web.listen": "--web",
    }
)
