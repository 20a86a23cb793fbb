"""Speed against named baselines, measured in interleaved rounds of one process."""
