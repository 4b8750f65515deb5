"""Channels of commands that speak to a running service; key and TLS come from the environment.

OFFER_OPTIMIZER_KEY is a key; OFFER_OPTIMIZER_TLS=1 asks for TLS, OFFER_OPTIMIZER_TLS_CA names the PEM file of
who signed the service's certificate, OFFER_OPTIMIZER_CLIENT_CERT and _CLIENT_KEY those of our own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import grpc
import typer

from offer_optimizer.client.access import Access, ChannelOption, open_channel


def channel_to(target: str, options: Sequence[ChannelOption] = ()) -> grpc.Channel:
    """Return a channel to HOST:PORT. Exits with a message where a file of the environment can't be read."""
    return open_channel(target, options, access())


def access() -> Access:
    """Return what the environment says of key and TLS."""
    try:
        return Access.from_environment(os.environ)
    except OSError as error:
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
