"""The runner: one small process that starts runs, outlives the daemon, and sees how they end."""
