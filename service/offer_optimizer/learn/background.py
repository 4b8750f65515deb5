"""What every reader of closed decisions needs: catalogs, epochs, and what steers learning."""

from __future__ import annotations

from dataclasses import dataclass, field

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.control import Learning, Promotion, Quarantine, Rollback
from offer_optimizer.learn.lineage import SteeringRecords
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store.codec import Epoch, StoredCatalog
from offer_optimizer.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Background:
    """Catalog revisions, epochs and steering records; `document` is the newest catalog as it was applied."""

    revisions: Revisions = field(default_factory=Revisions)
    steering: SteeringRecords = field(default_factory=SteeringRecords)
    documents: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, ledger: Ledger, up_to: int) -> Background:
        """Read what lies at ledger positions up to and with `up_to`."""
        found = cls()
        for record in ledger.rare_records(up_to):
            match record.body():
                case StoredCatalog() as stored:
                    found.revisions.add(stored.revision, Catalog.model_validate_json(stored.canonical))
                    found.documents[stored.revision] = stored.document
                case Epoch() as epoch:
                    found.revisions.add_epoch(epoch)
                case Learning() | Rollback() | Quarantine() | Promotion() as steering:
                    found.steering.add(record.position, steering)
        return found

    @property
    def document(self) -> str:
        """The newest catalog as it was applied. Raises KeyError without any."""
        return self.documents[self.revisions.newest]
