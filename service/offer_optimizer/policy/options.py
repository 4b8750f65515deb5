"""What the options of every policy have in common. Each policy declares its own beside its code."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of a policy: closed to unknown names, strict about types, finite, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def canonical(self) -> dict[str, object]:
        """Return the options that have an effect, defaults filled in, as plain JSON values.

        Validated again they give the same.
        """
        return self.model_dump(mode="json")


class NoOptions(Options):
    """Options of a policy that has none."""
