"""Declarative, GitOps-style job reconciler: cron for people who keep everything in git."""

__version__ = "0.1.0"
