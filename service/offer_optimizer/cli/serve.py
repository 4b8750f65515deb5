"""`offer-optimizer serve`: check everything that can be wrong before anything is started, then supervise.

Whoever waits for the deciders waits for this process first. So it loads what a check needs where there is
something to check, and neither policies nor the catalog's schema where the catalog is what it was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from offer_optimizer.app.clocks import entropy
from offer_optimizer.app.listen import Address, check_open, hold_port, is_loopback, parse_listen
from offer_optimizer.app.logs import configure_logging
from offer_optimizer.core.errors import CannotStart, DamagedFile, NotFound, OfferOptimizerError
from offer_optimizer.store.catalog_file import newest_revision, read_revision_file, revision_name
from offer_optimizer.store.files import Files
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.lost_ledger import require_ledger
from offer_optimizer.store.migrations import FORMAT_VERSION, KEEPS_FOLD, migrate
from offer_optimizer.store.salts import load_or_create_salts
from offer_optimizer.supervisor import Child, Supervisor


def serve(
    *,
    data: Annotated[
        Path, typer.Option(help="Data directory; made when it is missing.", envvar="OFFER_OPTIMIZER_DATA")
    ],
    catalog: Annotated[
        Path | None,
        typer.Option(help="Catalog that seeds an empty data directory.", envvar="OFFER_OPTIMIZER_CATALOG"),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT; port 0 takes any free one.", envvar="OFFER_OPTIMIZER_LISTEN")
    ] = "127.0.0.1:50051",
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Decider processes.", envvar="OFFER_OPTIMIZER_WORKERS")
    ] = 1,
    apply_catalog: Annotated[bool, typer.Option(help="Put --catalog in force where it differs.")] = False,
    insecure_listen: Annotated[
        bool, typer.Option(help="Allow an address beyond loopback without TLS and keys.")
    ] = False,
    journal_sync_ms: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="What a power cut may take of decisions.",
            envvar="OFFER_OPTIMIZER_JOURNAL_SYNC_MS",
        ),
    ] = 50,
    keep_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=36_500,
            help="Whole days that stay in the ledger; older ones move to DATA/archive. Default: all stay.",
            envvar="OFFER_OPTIMIZER_KEEP_DAYS",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="PEM file of the certificate chain.", envvar="OFFER_OPTIMIZER_TLS_CERT"),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its private key.", envvar="OFFER_OPTIMIZER_TLS_KEY")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of who signs client certificates: then every client needs one.",
            envvar="OFFER_OPTIMIZER_TLS_CLIENT_CA",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Keys file (see `offer-optimizer keys`): then every call needs one.",
            envvar="OFFER_OPTIMIZER_KEYS",
        ),
    ] = None,
    reflection: Annotated[
        bool | None,
        typer.Option(help="Tell clients which calls there are; by default only on loopback."),
    ] = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM. Prints `ready HOST:PORT` once it serves."""
    configure_logging()
    try:
        address = parse_listen(listen)
        protection = _protection(tls_cert, tls_key, tls_client_ca, keys)
        warning = check_open(
            address,
            has_tls=tls_cert is not None,
            has_keys=keys is not None,
            insecure_listen=insecure_listen,
        )
        if warning:
            print(f"warning: {warning}", file=sys.stderr)
        if is_loopback(address) if reflection is None else reflection:
            protection.append("--reflection")
        directory = DataDirectory(data.resolve())
        files = Files()
        directory.prepare(files)
        lock = directory.lock(files, os.getpid())
        try:
            held, address = hold_port(address)
            with held:
                require_ledger(files, directory)
                _settle_secrets(files, directory)
                _settle_format(directory)
                if not _is_settled(files, directory.catalog, catalog):
                    from offer_optimizer.cli.settling import settle_catalog

                    settle_catalog(files, directory, catalog, apply_catalog=apply_catalog)
                protection += ["--journal-sync-ms", str(journal_sync_ms)]
                status = _supervise(files, directory, address, workers, protection, keep_days)
        finally:
            lock.release()
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _protection(
    tls_cert: Path | None, tls_key: Path | None, tls_client_ca: Path | None, keys: Path | None
) -> list[str]:
    """Check TLS files and keys, and return what deciders are told. Raises CannotStart."""
    if (tls_cert is None) != (tls_key is None):
        raise CannotStart("--tls-cert and --tls-key go together")
    if tls_client_ca is not None and tls_cert is None:
        raise CannotStart("--tls-client-ca needs --tls-cert and --tls-key")
    options: list[str] = []
    if tls_cert is not None and tls_key is not None:
        from offer_optimizer.api.credentials import TlsFiles

        TlsFiles(tls_cert, tls_key, tls_client_ca).read()
        options += ["--tls-cert", str(tls_cert.resolve()), "--tls-key", str(tls_key.resolve())]
        if tls_client_ca is not None:
            options += ["--tls-client-ca", str(tls_client_ca.resolve())]
    if keys is not None:
        from offer_optimizer.app.keys import read_keys

        read_keys(keys)
        options += ["--keys", str(keys.resolve())]
    return options


def _supervise(
    files: Files,
    directory: DataDirectory,
    address: Address,
    workers: int,
    options: list[str],
    keep_days: int | None,
) -> int:
    common = ["--data", str(directory.path)]
    decider = ["decider", *common, "--listen", str(address), *options]
    deciders = [Child(f"decider-{number}", decider) for number in range(workers)]
    learner = ["learner", *common, *(["--keep-days", str(keep_days)] if keep_days is not None else [])]
    children = [*deciders, Child("learner", learner)]
    return Supervisor(directory, files, children, lambda: print(f"ready {address}", flush=True)).run()


def _settle_secrets(files: Files, directory: DataDirectory) -> None:
    """Make what a new data directory needs; never make anew what an old one has lost."""
    if files.exists(directory.ledger_path):
        for path in (directory.secret_path, directory.salts_path):
            if not files.exists(path):
                raise CannotStart(
                    f"{path} is missing, and visitors are known by it: restore it from a backup"
                )
    Identity.load_or_create(files, directory.secret_path, entropy)
    load_or_create_salts(files, directory.salts_path, entropy)


def _settle_format(directory: DataDirectory) -> None:
    """Migrate an older ledger before anybody reads it. Raises CannotStart for a newer one."""
    found = migrate(directory.ledger_path)
    if found is not None and found != FORMAT_VERSION:
        text = f"{directory.ledger_path}: migrated from format {found} to {FORMAT_VERSION}"
        if found < KEEPS_FOLD:
            text += "; learning goes on once its records are folded again"
        print(text, file=sys.stderr)


def _is_settled(files: Files, directory: Path, catalog: Path | None) -> bool:
    """Return whether the revision in force is whole and what `--catalog`, if given, says to the letter."""
    newest = newest_revision(files, directory)
    if not newest:
        return False
    try:
        stored = read_revision_file(files, directory / revision_name(newest))
        return catalog is None or catalog.read_bytes() == stored.document.encode()
    except (DamagedFile, NotFound, OSError):
        # Whoever settles it restores the file, or says what is wrong.
        return False
