"""Exports of finished runs: labeled data, a card, metadata, a labeler without dependencies, the distilled model."""
