"""Results by webhook over TLS."""

from nearline.stores.results.http import open_subscriber as open_subscriber
