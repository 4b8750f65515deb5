"""The Open Bandit Pipeline on the rows of benchmarks.replay_rows. Runs in OBP's own environment.

Imports nothing of ours: OBP needs an older Python and older libraries than this project.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    OffPolicyEvaluation,
    SelfNormalizedInverseProbabilityWeighting,
)


def peak_kib() -> int:
    """Return the most memory that this process has held."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def main(folder: str, replicates: int) -> None:
    """Evaluate the rows in a folder with so many bootstrap replicates, and print one JSON object."""
    where = Path(folder)
    imported_kib = peak_kib()
    wall, cpu = time.perf_counter(), time.process_time()
    log = {name: np.load(where / f"{name}.npy") for name in ("segment", "action", "reward", "pscore")}
    target, means = np.load(where / "target.npy"), np.load(where / "means.npy")
    count, offers = len(log["action"]), target.shape[1]
    action_dist = target[log["segment"]][:, :, None]
    feedback = {
        "n_rounds": count,
        "n_actions": offers,
        "action": log["action"],
        "position": None,
        "context": log["segment"][:, None].astype(np.float64),
        "reward": log["reward"],
        "pscore": log["pscore"],
    }
    evaluation = OffPolicyEvaluation(
        bandit_feedback=feedback,
        ope_estimators=[
            InverseProbabilityWeighting(),
            SelfNormalizedInverseProbabilityWeighting(),
            DoublyRobust(),
        ],
    )
    # A mean for each offer, as our side fits it; fitting it is not counted here.
    expected = np.broadcast_to(means[None, :, None], (count, offers, 1)).copy()
    values = evaluation.estimate_policy_values(
        action_dist=action_dist, estimated_rewards_by_reg_model=expected
    )
    ends = evaluation.estimate_intervals(
        action_dist=action_dist,
        estimated_rewards_by_reg_model=expected,
        random_state=1,
        n_bootstrap_samples=replicates,
    )
    names = {"ipw": "ips", "snipw": "snips", "dr": "dr"}
    print(
        json.dumps(
            {
                "cpu_s": time.process_time() - cpu,
                "wall_s": time.perf_counter() - wall,
                "peak_mib": peak_kib() / 1024,
                "imported_mib": imported_kib / 1024,
                "values": {
                    names[key]: [values[key], ends[key]["95.0% CI (lower)"], ends[key]["95.0% CI (upper)"]]
                    for key in names
                },
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
